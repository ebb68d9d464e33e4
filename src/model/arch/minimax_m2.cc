// MiniMax-M2: norms over all heads of q and k at once, rotary embedding of half of each head,
// experts by sigmoid scores with a selection bias.
//
// Sources: MiniMax's published model code and configuration; keys and names from llama.cpp
// (src/models/minimax-m2.cpp).
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace minimax_m2 {

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  hp.rope.neox = true;
  hp.router.normalize = true;
  DefaultToSigmoid(reader, hp);
  DropPredictionLayers(reader, hp);
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kAllHeads, declarations, weights.attention);
  DeclareDeepseekFeedForward(hp, layer_idx, Need::kRequired, declarations, weights.feed_forward);
}

}  // namespace minimax_m2

const Architecture kMinimaxM2 = {"minimax-m2", minimax_m2::Adjust, minimax_m2::DeclareLayer,
                                 RunPreNormLayer};

}  // namespace plimsoll::model
