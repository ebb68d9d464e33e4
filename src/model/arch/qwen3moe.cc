// Qwen 3 MoE: Qwen 3's attention, routed experts with renormalised weights.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace qwen3moe {

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  hp.rope.neox = true;
  const auto normalize = metadata.BoolOr("qwen3moe.expert_weights_norm", true);
  if (!normalize) {
    return tl::unexpected(normalize.error());
  }
  hp.router.normalize = *normalize;
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace qwen3moe

const Architecture kQwen3Moe = {"qwen3moe", qwen3moe::Adjust, qwen3moe::DeclareLayer,
                                RunPreNormLayer};

}  // namespace plimsoll::model
