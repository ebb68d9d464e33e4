// Qwen 3: norms on each head of q and k, no biases.
#include "model/arch/qwen3.h"

#include "model/arch/shared.h"

namespace plimsoll::model {

Result<HyperParams> Qwen3::ReadHyperParams(const formats::Catalogue& catalogue) const {
  auto hp = model::ReadHyperParams(catalogue);
  if (!hp) {
    return hp;
  }
  hp->rope.neox = true;
  return hp;
}

void Qwen3::DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         LayerWeights& weights) const {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

void Qwen3::RunLayer(LayerPieces& pieces, const LayerWeights& weights) const {
  RunPreNormLayer(pieces, weights);
}

}  // namespace plimsoll::model
