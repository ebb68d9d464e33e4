// OLMoE: norms over all heads of q and k at once, routed experts whose weights are not
// renormalised.
#include "model/arch/olmoe.h"

#include "model/arch/shared.h"

namespace plimsoll::model {

Result<HyperParams> Olmoe::ReadHyperParams(const formats::Catalogue& catalogue) const {
  auto hp = model::ReadHyperParams(catalogue);
  if (!hp) {
    return hp;
  }
  hp->rope.neox = true;
  return hp;
}

void Olmoe::DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         LayerWeights& weights) const {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kAllHeads, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

void Olmoe::RunLayer(LayerPieces& pieces, const LayerWeights& weights) const {
  RunPreNormLayer(pieces, weights);
}

}  // namespace plimsoll::model
