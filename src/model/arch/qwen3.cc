// Qwen 3: norms on each head of q and k, no biases.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace qwen3 {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace qwen3

const Architecture kQwen3 = {"qwen3", qwen3::Adjust, qwen3::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
