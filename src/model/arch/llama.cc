// Llama 1 to 3, Mistral, and Mixtral through its expert tensors. q and k are permuted for
// neighbouring rotary pairs.
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace llama {

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  // Mixtral: softmax over the chosen experts alone is the same as over all, renormalised.
  hp.router.normalize = true;
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace llama

const Architecture kLlama = {"llama", llama::Adjust, llama::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
