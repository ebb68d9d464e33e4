// Gemma 4: layers with a window have heads of another width and number than those without, of which
// a part does not turn; the last layers make no keys and values; experts stand beside a dense
// feed-forward. Its norms are as they are in GGUF.
#include <algorithm>

#include "formats/safetensors/config_rope.h"
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace gemma4 {

constexpr uint32_t kPeriod = 6;    // of so many layers the last has no window, without a list
constexpr float kStopped = 1e30F;  // the divisor of a pair that does not turn
constexpr uint32_t kMaxHeadDim = 65'536;  // beyond anything that exists

constexpr std::array<Default, 6> kDefaults = {{{"global_head_dim", 512},
                                               {"head_dim", 256},
                                               {"sliding_window", 512},
                                               {"num_attention_heads", 8},
                                               {"num_key_value_heads", 4},
                                               {"max_position_embeddings", 131'072}}};

std::vector<bool> HasWindow(ConfigKeys& keys) {
  const std::vector<std::string> types = keys.Strings("layer_types");
  const uint32_t n_layers = keys.dimensions.n_layers;
  std::vector<bool> has_window;
  if (!types.empty() && types.size() != n_layers) {
    keys.Refuse("layer_types", "{} kinds for {} layers", types.size(), n_layers);
    return std::vector<bool>(n_layers, true);
  }
  for (uint32_t i = 0; i < n_layers; ++i) {
    has_window.push_back(types.empty() ? (i + 1) % kPeriod != 0 : types[i] == "sliding_attention");
  }
  return has_window;
}

void CopyHeads(const std::vector<bool>& has_window, ConfigKeys& keys) {
  const uint32_t narrow = keys.U32Or("head_dim", 0);
  const uint32_t wide = keys.U32Or("global_head_dim", 0);
  for (const char* key : {"attention.key_length", "attention.value_length"}) {
    keys.Set(key, wide);
    keys.Set(fmt::format("{}_swa", key), narrow);
  }
  // As many as in layers with a window, unless values are made of the keys.
  const uint32_t n_kv_heads = keys.U32Or("num_key_value_heads", 0);
  const bool has_own = keys.Bool("attention_k_eq_v").value_or(false);
  const uint32_t n_wide =
      has_own ? keys.U32Or("num_global_key_value_heads", n_kv_heads) : n_kv_heads;
  std::vector<uint32_t> of_layers;
  for (const bool is_narrow : has_window) {
    of_layers.push_back(is_narrow ? n_kv_heads : n_wide);
  }
  keys.SetList("attention.head_count_kv", of_layers);
}

// In layers without a window a part of the pairs turns, at the rates of all.
void CopyRotation(ConfigKeys& keys) {
  const uint32_t wide = keys.U32Or("global_head_dim", 0);
  const auto full = RopeOf(keys, "full_attention");
  const auto window = RopeOf(keys, "sliding_attention");
  const double part = full ? keys.Take(full->Number("partial_rotary_factor")).value_or(0.25) : 0.25;
  if (wide > kMaxHeadDim || !(part > 0 && part <= 1)) {
    keys.Refuse("global_head_dim", "heads of {} values, of which a part of {} turns, make no sense",
                wide, part);
    return;
  }
  keys.Set("rope.dimension_count", wide);
  keys.Set("rope.dimension_count_swa", keys.U32Or("head_dim", 0));
  keys.SetF32("rope.freq_base", 1e6);
  keys.SetF32("rope.freq_base_swa", 10'000);
  if (full) {
    keys.CopyF32Of(*full, "rope_theta", "rope.freq_base");
  }
  if (window) {
    keys.CopyF32Of(*window, "rope_theta", "rope.freq_base_swa");
  }
  ConfiguredTensor divisors{.name = "rope_freqs.weight", .values = {}};
  const auto n_turned = static_cast<uint32_t>(wide * part / 2);
  for (uint32_t pair = 0; pair < wide / 2; ++pair) {
    divisors.values.push_back(pair < n_turned ? 1.0F : kStopped);
  }
  keys.tensors.push_back(std::move(divisors));
}

void CopyFeedForward(uint32_t n_shared, ConfigKeys& keys) {
  const uint32_t n_layers = keys.dimensions.n_layers;
  if (keys.Bool("use_double_wide_mlp").value_or(false)) {
    const uint32_t width = keys.U32Or("intermediate_size", 0);
    std::vector<uint32_t> widths(n_layers, width);
    std::fill(widths.end() - std::min(n_shared, n_layers), widths.end(), 2 * width);
    keys.SetList("feed_forward_length", widths);
  }
  if (keys.Has("moe_intermediate_size") && keys.U32Or("num_experts", 0) == 0) {
    keys.Refuse("num_experts", "it is missing");
  }
}

void ConfigureGemma4(ConfigKeys& keys) {
  const std::vector<bool> has_window = HasWindow(keys);
  keys.CopyNeeded("sliding_window", "attention.sliding_window");
  keys.SetFlags("attention.sliding_window_pattern", has_window);
  CopyHeads(has_window, keys);
  CopyRotation(keys);
  const uint32_t n_shared = keys.U32Or("num_kv_shared_layers", 0);
  keys.Set("attention.shared_kv_layers", n_shared);
  keys.Set("embedding_length_per_layer_input", keys.U32Or("hidden_size_per_layer_input", 0));
  keys.CopyF32("final_logit_softcapping", "final_logit_softcapping");
  CopyFeedForward(n_shared, keys);
}

constexpr std::array<Rule, 19> kRules = {{
    {"embed_tokens_per_layer", "per_layer_token_embd"},
    {"per_layer_model_projection", "per_layer_model_proj"},
    {"per_layer_projection_norm", "per_layer_proj_norm"},
    {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"pre_feedforward_layernorm_2", "pre_ffw_norm_2"},
    {"post_feedforward_layernorm_1", "post_ffw_norm_1"},
    {"post_feedforward_layernorm_2", "post_ffw_norm_2"},
    {"per_layer_input_gate", "inp_gate"},
    {"per_layer_projection", "proj"},
    {"post_per_layer_input_norm", "post_norm"},
    {"layer_scalar", "layer_output_scale.weight"},
    {"router.proj", "ffn_gate_inp"},
    {"router.scale", "ffn_gate_inp.scale"},
    {"router.per_expert_scale", "ffn_down_exps.scale"},
    {"experts.gate_up_proj", "ffn_gate_exps.weight", FirstHalf},
    {"experts.gate_up_proj", "ffn_up_exps.weight", SecondHalf},
    {"experts.down_proj", "ffn_down_exps.weight"},
}};

constexpr Family kGemma4 = {.hugging_face = "gemma4_text",
                            .gguf = "gemma4",
                            .rope_theta = 1e6,
                            .windows = Windows::kOwn,
                            .activation = "gelu_pytorch_tanh",
                            .normalises = true,
                            .defaults = kDefaults,
                            .configure = ConfigureGemma4,
                            .rules = kRules};

constexpr const Family* kAll[] = {&kGemma4};

}  // namespace gemma4

std::span<const Family* const> Gemma4Families() { return gemma4::kAll; }

}  // namespace plimsoll::formats::safetensors
