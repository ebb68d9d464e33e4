// Qwen 3 MoE: Qwen 3's attention, routed experts with renormalised weights.
#include "model/arch/qwen3moe.h"

#include "model/arch/shared.h"

namespace plimsoll::model {

Result<HyperParams> Qwen3Moe::ReadHyperParams(const formats::Catalogue& catalogue) const {
  auto hp = model::ReadHyperParams(catalogue);
  if (!hp) {
    return hp;
  }
  hp->rope.neox = true;
  const auto normalize = catalogue.metadata.BoolOr("qwen3moe.expert_weights_norm", true);
  if (!normalize) {
    return tl::unexpected(normalize.error());
  }
  hp->router.normalize = *normalize;
  return hp;
}

void Qwen3Moe::DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                            LayerWeights& weights) const {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

void Qwen3Moe::RunLayer(LayerPieces& pieces, const LayerWeights& weights) const {
  RunPreNormLayer(pieces, weights);
}

}  // namespace plimsoll::model
