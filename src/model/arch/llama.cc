// Llama 1 to 3, Mistral, and Mixtral through its expert tensors. GGUF files have q and k permuted
// for neighbouring rotary pairs; safetensors have not, and say so in plimsoll.rope.neox.
#include "model/arch/llama.h"

#include "model/arch/shared.h"

namespace plimsoll::model {

Result<HyperParams> Llama::ReadHyperParams(const formats::Catalogue& catalogue) const {
  auto hp = model::ReadHyperParams(catalogue);
  if (!hp) {
    return hp;
  }
  // Mixtral: softmax over the chosen experts alone is the same as over all, renormalised.
  hp->router.normalize = true;
  return hp;
}

void Llama::DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                         LayerWeights& weights) const {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

void Llama::RunLayer(LayerPieces& pieces, const LayerWeights& weights) const {
  RunPreNormLayer(pieces, weights);
}

}  // namespace plimsoll::model
