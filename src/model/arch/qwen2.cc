// Qwen 1.5 and 2: biases on q, k and v.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kRequired, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace

const Architecture kQwen2 = {"qwen2", Adjust, DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
