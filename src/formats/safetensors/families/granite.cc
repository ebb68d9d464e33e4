// Granite 3 and 4, dense, with experts and with a shared one: scales on the embedding, on what
// every branch adds, on the scores and on the logits. GGUF has the rotary pairs of queries and keys
// as neighbours; gate and up projections come in one matrix.
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace granite {

void ConfigureGranite(ConfigKeys& keys) {
  keys.CopyF32("embedding_multiplier", "embedding_scale");
  keys.CopyF32("residual_multiplier", "residual_scale");
  keys.CopyF32("attention_multiplier", "attention.scale");
  keys.CopyF32("logits_scaling", "logit_scale");
  keys.Copy("shared_intermediate_size", "expert_shared_feed_forward_length");
}

constexpr std::array<Rule, 9> kMoeRules = {{
    {"self_attn.q_proj", "attn_q", QueryPairs},
    {"self_attn.k_proj", "attn_k", KeyPairs},
    {"block_sparse_moe.router.layer", "ffn_gate_inp"},
    {"block_sparse_moe.input_linear", "ffn_gate_exps", FirstHalf},
    {"block_sparse_moe.input_linear", "ffn_up_exps", SecondHalf},
    {"block_sparse_moe.output_linear", "ffn_down_exps"},
    {"shared_mlp.input_linear", "ffn_gate_shexp", FirstHalf},
    {"shared_mlp.input_linear", "ffn_up_shexp", SecondHalf},
    {"shared_mlp.output_linear", "ffn_down_shexp"},
}};

constexpr Family kGranite = {.hugging_face = "granite",
                             .gguf = "granite",
                             .configure = ConfigureGranite,
                             .rules = kPairedQueriesAndKeys};
constexpr Family kGraniteMoe = {.hugging_face = "granitemoe",
                                .gguf = "granitemoe",
                                .normalises = true,
                                .configure = ConfigureGranite,
                                .rules = kMoeRules};
constexpr Family kGraniteMoeShared = {.hugging_face = "granitemoeshared",
                                      .gguf = "granitemoe",
                                      .normalises = true,
                                      .configure = ConfigureGranite,
                                      .rules = kMoeRules};

constexpr const Family* kAll[] = {&kGranite, &kGraniteMoe, &kGraniteMoeShared};

}  // namespace granite

std::span<const Family* const> GraniteFamilies() { return granite::kAll; }

}  // namespace plimsoll::formats::safetensors
