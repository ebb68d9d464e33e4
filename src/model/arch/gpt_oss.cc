// gpt-oss: biases everywhere, attention sinks, a window in every other layer, experts of a clamped
// SwiGLU chosen by their logits.
//
// Sources: OpenAI's model card, arXiv:2508.10925, and published model code; GGUF's names and the
// layers that have the window from llama.cpp (src/models/openai-moe.cpp).
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace gpt_oss {

constexpr float kAlpha = 1.702F;
constexpr float kLimit = 7.0F;

Result<> Adjust(const formats::Metadata& /*metadata*/, HyperParams& hp) {
  hp.rope.neox = true;
  hp.router.score = RouterScore::kSoftmaxOfChosen;
  hp.router.normalize = false;
  hp.activation = Activation::kSwigluClamped;
  hp.swiglu_alpha = kAlpha;
  hp.swiglu_limit = kLimit;
  if (hp.layers[0].window == 0) {
    return Fail(ErrorKind::kBadModel, "gpt-oss.attention.sliding_window is missing or 0");
  }
  if (!hp.layers[0].is_moe()) {
    return Fail(ErrorKind::kBadModel, "gpt-oss.expert_count is missing or below 2");
  }
  for (uint32_t i = 1; i < hp.n_layers; i += 2) {
    hp.layers[i].window = 0;
  }
  return {};
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kRequired, declarations, weights.attention);
  const LayerParams& p = hp.layers[layer_idx];
  declarations.AddVector(LayerTensor(layer_idx, "attn_sinks"), {p.n_heads},
                         weights.attention.sinks);

  FeedForwardWeights& ff = weights.feed_forward;
  DeclareFeedForward(hp, layer_idx, declarations, ff, "post_attention_norm");
  const auto bias = [&](std::string_view name) { return LayerTensor(layer_idx, name, "bias"); };
  declarations.AddVector(bias("ffn_gate_inp"), {p.n_experts}, ff.router_bias);
  declarations.AddVectors(bias("ffn_gate_exps"), p.expert_ff_dim, p.n_experts, ff.gate_bias);
  declarations.AddVectors(bias("ffn_up_exps"), p.expert_ff_dim, p.n_experts, ff.up_bias);
  declarations.AddVectors(bias("ffn_down_exps"), hp.hidden_dim, p.n_experts, ff.down_bias);
}

}  // namespace gpt_oss

const Architecture kGptOss = {"gpt-oss", gpt_oss::Adjust, gpt_oss::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
