// DeepSeek-V2 and V3, whose matrix of keys and values comes apart into one for each head, and
// families whose experts are chosen as theirs are: dots.llm1, GLM-4.5 to 4.7, MiniMax-M2.
#include "formats/safetensors/config_rope.h"
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace deepseek_like {

constexpr uint32_t kMaxWidth = 1U << 20;  // beyond anything that exists

// Its experts are all that it has, so that their width is the feed-forward's.
void ConfigureMinimax(ConfigKeys& keys) {
  keys.Copy("intermediate_size", "expert_feed_forward_length");
  keys.Copy("rotary_dim", "rope.dimension_count");
  const auto scoring = keys.String("scoring_func");
  if (scoring && *scoring != "sigmoid") {
    keys.Refuse("scoring_func", "only sigmoid is supported");
  }
}

// What is cached are a latent and a rotated part, as one head; the heads' own widths stand beside.
void CopyLatent(ConfigKeys& keys) {
  keys.Copy("q_lora_rank", "attention.q_lora_rank");
  const uint32_t rank = keys.CopyNeeded("kv_lora_rank", "attention.kv_lora_rank");
  const uint32_t rotated = keys.CopyNeeded("qk_rope_head_dim", "rope.dimension_count");
  const uint32_t key_dim = keys.NeedU32("qk_nope_head_dim");
  const uint32_t value_dim = keys.CopyNeeded("v_head_dim", "attention.value_length_mla");
  for (const uint32_t width : {rank, rotated, key_dim, value_dim}) {
    if (width > kMaxWidth) {
      keys.Refuse("kv_lora_rank", "latent attention of {} values is more than any model has",
                  width);
      return;
    }
  }
  keys.Set("attention.key_length_mla", key_dim + rotated);
  keys.Set("attention.key_length", rank + rotated);
  keys.Set("attention.value_length", rank);
  keys.Set("attention.head_count_kv", 1);
  keys.dimensions.latent_key_dim = key_dim;
  keys.dimensions.latent_value_dim = value_dim;
}

// GGUF's multiplier is a tenth of the configuration's.
void ConfigureDeepseek(ConfigKeys& keys) {
  CopyLatent(keys);
  const auto rope = RopeOf(keys, "full_attention");
  const auto of_all = rope ? keys.Take(rope->Number("mscale_all_dim")) : std::nullopt;
  if (of_all) {
    keys.SetF32("rope.scaling.yarn_log_multiplier", 0.1 * *of_all);
  }
  if (rope && keys.Take(rope->Number("mscale")).value_or(1) != of_all.value_or(1)) {
    keys.Note(rope->Bad("mscale", "other than mscale_all_dim it is not supported").value());
  }
  if (keys.U32Or("moe_layer_freq", 1) != 1) {
    keys.Refuse("moe_layer_freq", "dense layers between those with experts are not supported");
  }
}

constexpr std::array<Rule, 7> kDeepseekRules = {{
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"self_attn.kv_b_proj", "attn_k_b", KeysOfHeads},
    {"self_attn.kv_b_proj", "attn_v_b", ValuesOfHeads},
}};

constexpr std::array<Rule, 1> kGlmRules = {{
    {"post_attention_layernorm", "post_attention_norm"},
}};

constexpr Family kDeepseekV2 = {.hugging_face = "deepseek_v2",
                                .gguf = "deepseek2",
                                .configure = ConfigureDeepseek,
                                .rules = kDeepseekRules};
constexpr Family kDeepseekV3 = {.hugging_face = "deepseek_v3",
                                .gguf = "deepseek2",
                                .normalises = true,
                                .is_sigmoid = true,
                                .configure = ConfigureDeepseek,
                                .rules = kDeepseekRules};
constexpr Family kDots1 = {.hugging_face = "dots1", .gguf = "dots1", .is_sigmoid = true};
constexpr Family kGlm4Moe = {.hugging_face = "glm4_moe",
                             .gguf = "glm4moe",
                             .rms_eps = 1e-5,
                             .rotary_part = 0.5,
                             .normalises = true,
                             .is_sigmoid = true,
                             .rules = kGlmRules};
constexpr Family kMinimaxM2 = {.hugging_face = "minimax_m2",
                               .gguf = "minimax-m2",
                               .normalises = true,
                               .is_sigmoid = true,
                               .configure = ConfigureMinimax};

constexpr const Family* kAll[] = {&kDeepseekV2, &kDeepseekV3, &kDots1, &kGlm4Moe, &kMinimaxM2};

}  // namespace deepseek_like

std::span<const Family* const> DeepseekLikeFamilies() { return deepseek_like::kAll; }

}  // namespace plimsoll::formats::safetensors
