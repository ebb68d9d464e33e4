// Qwen 1.5 and 2: biases on q, k and v.
#include "model/arch/qwen2.h"

#include "model/arch/shared.h"

namespace plimsoll::model {

Result<HyperParams> Qwen2::ReadHyperParams(const formats::Catalogue& catalogue) const {
  auto hp = model::ReadHyperParams(catalogue);
  if (!hp) {
    return hp;
  }
  hp->rope.neox = true;
  return hp;
}

void Qwen2::DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         LayerWeights& weights) const {
  DeclareAttention(hp, layer_idx, Need::kRequired, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

void Qwen2::RunLayer(LayerPieces& pieces, const LayerWeights& weights) const {
  RunPreNormLayer(pieces, weights);
}

}  // namespace plimsoll::model
