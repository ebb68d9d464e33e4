// Qwen3-Next, and Qwen 3.5 dense and with experts: gated delta nets, and attention in every so
// many-th layer. All norms but that of the delta net have 1 added when the model runs. Qwen3-Next
// keeps a delta net's projections together by key head; of Qwen 3.5 GGUF has the value heads in
// another order.
#include "formats/safetensors/config_rope.h"
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace hybrid_qwen {

constexpr uint32_t kInterval = 4;
constexpr uint64_t kMaxInner = 1U << 24;  // beyond anything that exists

// GGUF says of how many layers the last has attention.
void CopyLayerTypes(ConfigKeys& keys) {
  const uint32_t interval = keys.U32Or("full_attention_interval", kInterval);
  const std::vector<std::string> types = keys.Strings("layer_types");
  keys.Set("full_attention_interval", interval);
  if (interval == 0) {
    keys.Refuse("full_attention_interval", "it is 0");
    return;
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if ((types[i] == "full_attention") != ((i + 1) % interval == 0)) {
      keys.Refuse("layer_types", "layer {} is not of the kind that full_attention_interval {} says",
                  i, interval);
      return;
    }
  }
}

void ConfigureHybrid(ConfigKeys& keys) {
  CopyLayerTypes(keys);
  keys.CopyNeeded("linear_conv_kernel_dim", "ssm.conv_kernel");
  const uint32_t head_dim = keys.CopyNeeded("linear_key_head_dim", "ssm.state_size");
  keys.CopyNeeded("linear_num_key_heads", "ssm.group_count");
  const uint32_t n_value_heads = keys.CopyNeeded("linear_num_value_heads", "ssm.time_step_rank");
  const uint32_t value_dim = keys.NeedU32("linear_value_head_dim");
  if (value_dim != head_dim) {
    keys.Refuse("linear_value_head_dim",
                "it is {}, and linear_key_head_dim {}: other widths of values are not supported",
                value_dim, head_dim);
  }
  const uint64_t inner = uint64_t{n_value_heads} * value_dim;
  if (inner > kMaxInner) {
    keys.Refuse("linear_num_value_heads", "with {} values each they make {}", value_dim, inner);
  }
  keys.Set("ssm.inner_size", static_cast<uint32_t>(inner));
}

// Sections of the rotated pairs for time, height and width, which are one and the same in text.
void ConfigureQwen35(ConfigKeys& keys) {
  ConfigureHybrid(keys);
  std::vector<uint32_t> sections = {11, 11, 10};
  if (const auto rope = RopeOf(keys, "full_attention")) {
    const auto given = keys.Take(rope->U32List("mrope_section"));
    sections = given.empty() ? sections : given;
  }
  sections.resize(4);
  keys.SetList("rope.dimension_sections", sections);
}

constexpr std::array<Rule, 13> kQwen3NextRules = {{
    {"norm", "output_norm", PlusOne},
    {"input_layernorm", "attn_norm", PlusOne},
    {"post_attention_layernorm", "post_attention_norm", PlusOne},
    {"self_attn.q_norm", "attn_q_norm", PlusOne},
    {"self_attn.k_norm", "attn_k_norm", PlusOne},
    {"linear_attn.in_proj_qkvz", "attn_qkv", MixedOfGroups},
    {"linear_attn.in_proj_qkvz", "attn_gate", GatesOfGroups},
    {"linear_attn.in_proj_ba", "ssm_ba"},
    {"linear_attn.A_log", "ssm_a.", MinusExp},
    {"linear_attn.dt_bias", "ssm_dt.bias"},
    {"linear_attn.conv1d", "ssm_conv1d"},
    {"linear_attn.norm", "ssm_norm"},
    {"linear_attn.out_proj", "ssm_out"},
}};

constexpr std::array<Rule, 17> kQwen35Rules = {{
    {"norm", "output_norm", PlusOne},
    {"input_layernorm", "attn_norm", PlusOne},
    {"post_attention_layernorm", "post_attention_norm", PlusOne},
    {"self_attn.q_norm", "attn_q_norm", PlusOne},
    {"self_attn.k_norm", "attn_k_norm", PlusOne},
    {"linear_attn.in_proj_qkv", "attn_qkv", TiledBehindKeys},
    {"linear_attn.in_proj_z", "attn_gate", TiledHeads},
    {"linear_attn.in_proj_b", "ssm_beta", TiledRows},
    {"linear_attn.in_proj_a", "ssm_alpha", TiledRows},
    {"linear_attn.A_log", "ssm_a.", TiledMinusExp},
    {"linear_attn.dt_bias", "ssm_dt.bias", TiledRows},
    {"linear_attn.conv1d", "ssm_conv1d", TiledBehindKeys},
    {"linear_attn.norm", "ssm_norm"},
    {"linear_attn.out_proj", "ssm_out", TiledColumns},
    {"mlp.experts.gate_up_proj", "ffn_gate_exps.weight", FirstHalf},
    {"mlp.experts.gate_up_proj", "ffn_up_exps.weight", SecondHalf},
    {"mlp.experts.down_proj", "ffn_down_exps.weight"},
}};

constexpr Family kQwen3Next = {.hugging_face = "qwen3_next",
                               .gguf = "qwen3next",
                               .rotary_part = 0.25,
                               .normalises = true,
                               .configure = ConfigureHybrid,
                               .rules = kQwen3NextRules};
constexpr Family kQwen35 = {.hugging_face = "qwen3_5_text",
                            .gguf = "qwen35",
                            .rotary_part = 0.25,
                            .configure = ConfigureQwen35,
                            .rules = kQwen35Rules};
constexpr Family kQwen35Moe = {.hugging_face = "qwen3_5_moe_text",
                               .gguf = "qwen35moe",
                               .rotary_part = 0.25,
                               .normalises = true,
                               .configure = ConfigureQwen35,
                               .rules = kQwen35Rules};

constexpr const Family* kAll[] = {&kQwen3Next, &kQwen35, &kQwen35Moe};

}  // namespace hybrid_qwen

std::span<const Family* const> HybridQwenFamilies() { return hybrid_qwen::kAll; }

}  // namespace plimsoll::formats::safetensors
