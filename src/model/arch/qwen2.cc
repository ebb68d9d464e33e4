// Qwen 1.5 and 2: biases on q, k and v.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace qwen2 {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kRequired, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace qwen2

const Architecture kQwen2 = {"qwen2", qwen2::Adjust, qwen2::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
