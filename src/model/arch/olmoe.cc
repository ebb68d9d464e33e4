// OLMoE: norms over all heads of q and k at once, routed experts whose weights are not
// renormalised.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace olmoe {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kAllHeads, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace olmoe

const Architecture kOlmoe = {"olmoe", olmoe::Adjust, olmoe::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
