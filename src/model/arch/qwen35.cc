// Qwen 3.5, dense and with experts: Qwen3-Next's layers, betas and alphas from matrices of their
// own, value heads in another order. Rotary embedding has sections for time, height and width,
// which are one and the same in text. The layer that predicts the token after the next one is not
// used.
//
// Sources: the models in transformers (qwen3_5, qwen3_5_moe); keys, names and the order of heads
// from llama.cpp (src/models/qwen35.cpp, qwen35moe.cpp and its converter).
#include "model/arch/hybrid.h"

namespace plimsoll::model {
namespace qwen35 {

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  ReadHybrid(reader, ValueHeads::kTiled, hp);
  DropPredictionLayers(reader, hp);
  return reader.status();
}

Result<> AdjustMoe(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  RequireSharedExpert(reader, hp);
  hp.router.normalize = reader.BoolOr("expert_weights_norm", true);
  const auto read = reader.status();
  return read ? Adjust(metadata, hp) : read;
}

void DeclareDenseLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                       LayerWeights& weights) {
  DeclareMixer(hp, layer_idx, BetaAlpha::kApart, declarations, weights);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward, "post_attention_norm");
}

void DeclareMoeLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                     LayerWeights& weights) {
  DeclareMixer(hp, layer_idx, BetaAlpha::kApart, declarations, weights);
  DeclareExpertsAndShared(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace qwen35

const Architecture kQwen35 = {"qwen35", qwen35::Adjust, qwen35::DeclareDenseLayer, RunHybridLayer};
const Architecture kQwen35Moe = {"qwen35moe", qwen35::AdjustMoe, qwen35::DeclareMoeLayer,
                                 RunHybridLayer};

}  // namespace plimsoll::model
