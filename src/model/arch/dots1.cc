// dots.llm1: Qwen 3's attention; dense layers first, then experts chosen as DeepSeek-V3 does,
// without groups, and shared ones.
//
// Sources: dots.llm1, arXiv:2506.05767, and its published configuration; keys and names from
// llama.cpp (src/models/dots1.cpp).
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace dots1 {

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
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
  DeclareDeepseekFeedForward(hp, layer_idx, Need::kOptional, declarations, weights.feed_forward);
}

}  // namespace dots1

const Architecture kDots1 = {"dots1", dots1::Adjust, dots1::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
