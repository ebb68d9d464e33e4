// GLM-4.5 to 4.7: biases on q, k and v, in the larger models norms on each head of q and k, rotary
// embedding of half of each head; dense layers first, then experts chosen as DeepSeek-V3 does, and
// a shared one. The layer that predicts the token after the next one is not used.
//
// Sources: GLM-4.5, arXiv:2508.06471, and its published configuration; keys and names from
// llama.cpp (src/models/glm4-moe.cpp).
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace glm4moe {

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  hp.rope.neox = true;
  ReadDenseAndShared(reader, hp);
  DefaultToSigmoid(reader, hp);
  DropPredictionLayers(reader, hp);
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention, Need::kOptional);
  DeclareDeepseekFeedForward(hp, layer_idx, Need::kRequired, declarations, weights.feed_forward,
                             "post_attention_norm");
}

}  // namespace glm4moe

const Architecture kGlm4Moe = {"glm4moe", glm4moe::Adjust, glm4moe::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
