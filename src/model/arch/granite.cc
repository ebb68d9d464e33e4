// Granite 3 and 4, dense and with experts: Llama's layers with scales on the embedding, on what
// every branch adds, on the scores and on the logits.
//
// Sources: IBM's model cards and configurations; keys and names from llama.cpp
// (src/models/granite.cpp, src/models/granite-moe.cpp). q and k are permuted for neighbouring
// rotary pairs, as Llama's.
#include "model/arch/shared.h"
#include "model/key_reader.h"

namespace plimsoll::model {
namespace granite {

// Files write 0 for "none".
float ReadScale(KeyReader& reader, std::string_view key) {
  const double scale = reader.F64Or(key, 1.0, 0.0, 1e6);
  return scale == 0 ? 1.0F : static_cast<float>(scale);
}

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  hp.embedding_scale = ReadScale(reader, "embedding_scale");
  hp.residual_scale = ReadScale(reader, "residual_scale");
  hp.logit_scale = static_cast<float>(1 / reader.F64Or("logit_scale", 1.0, 1e-6, 1e6));
  // Softmax over the chosen experts alone is the same as over all, renormalised.
  hp.router.normalize = true;
  if (!reader.BoolOr("rope.scaling.finetuned", true)) {
    reader.Note({ErrorKind::kBadModel,
                 fmt::format("{} is false: a model without positions is not supported",
                             reader.Key("rope.scaling.finetuned"))});
  }
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  FeedForwardWeights& ff = weights.feed_forward;
  DeclareFeedForward(hp, layer_idx, declarations, ff);
  const LayerParams& p = hp.layers[layer_idx];
  if (p.shared_ff_dim != 0) {
    DeclareSharedExpert(hp, layer_idx, declarations, ff.shared);
  }
  if (!p.is_moe()) {
    const auto bias = [&](std::string_view name) { return LayerTensor(layer_idx, name, "bias"); };
    declarations.AddVector(bias("ffn_gate"), {p.expert_ff_dim}, ff.gate_bias, Need::kOptional);
    declarations.AddVector(bias("ffn_up"), {p.expert_ff_dim}, ff.up_bias, Need::kOptional);
    declarations.AddVector(bias("ffn_down"), {hp.hidden_dim}, ff.down_bias, Need::kOptional);
  }
}

}  // namespace granite

const Architecture kGranite = {"granite", granite::Adjust, granite::DeclareLayer, RunPreNormLayer};
const Architecture kGraniteMoe = {"granitemoe", granite::Adjust, granite::DeclareLayer,
                                  RunPreNormLayer};

}  // namespace plimsoll::model
