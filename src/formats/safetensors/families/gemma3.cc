// Gemma 3: norms before and after attention and feed-forward, which all have 1 added when the model
// runs; five layers with a window to each without, which turn by different bases. Its files leave
// out most of what transformers has a default for.
#include <algorithm>

#include "formats/safetensors/config_rope.h"
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace gemma3 {

constexpr uint32_t kPeriod = 6;  // of so many layers the last has no window
constexpr double kWindowTheta = 10'000;
constexpr uint32_t kLayersOfLargest = 62;  // whose scores GGUF's readers scale otherwise

constexpr std::array<Default, 6> kDefaults = {{{"num_attention_heads", 8},
                                               {"num_key_value_heads", 4},
                                               {"head_dim", 256},
                                               {"max_position_embeddings", 131'072},
                                               {"sliding_window", 4096},
                                               {"query_pre_attn_scalar", 256}}};

void CopyPattern(ConfigKeys& keys) {
  const std::vector<std::string> types = keys.Strings("layer_types");
  uint32_t period = keys.U32Or("sliding_window_pattern", kPeriod);
  if (!types.empty()) {
    const auto wide = std::ranges::find(types, "full_attention");
    period = static_cast<uint32_t>(wide - types.begin()) + 1;
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if ((types[i] == "full_attention") != ((i + 1) % period == 0)) {
      keys.Refuse("layer_types", "layer {} breaks the pattern of the layers before it", i);
      return;
    }
  }
  if (period != kPeriod) {
    keys.Set("attention.sliding_window_pattern", period);
  }
}

void ConfigureGemma3(ConfigKeys& keys) {
  keys.CopyNeeded("sliding_window", "attention.sliding_window");
  CopyPattern(keys);
  keys.SetF32("rope.freq_base_swa", kWindowTheta);
  keys.CopyF32("rope_local_base_freq", "rope.freq_base_swa");
  if (const auto rope = RopeOf(keys, "sliding_attention"); rope && keys.Has("rope_parameters")) {
    keys.CopyF32Of(*rope, "rope_theta", "rope.freq_base_swa");
  }
  keys.CopyF32("final_logit_softcapping", "final_logit_softcapping");
  if (keys.Has("attn_logit_softcapping")) {
    keys.Refuse("attn_logit_softcapping", "a cap of the scores is not supported");
  }
  const uint32_t scale = keys.U32Or("query_pre_attn_scalar", 0);
  if (scale != keys.U32Or("head_dim", 0) && keys.dimensions.n_layers != kLayersOfLargest) {
    keys.Refuse("query_pre_attn_scalar", "{} is not the width of heads, as GGUF's readers take it",
                scale);
  }
}

constexpr std::array<Rule, 7> kRules = {{
    {"norm", "output_norm", PlusOne},
    {"input_layernorm", "attn_norm", PlusOne},
    {"self_attn.q_norm", "attn_q_norm", PlusOne},
    {"self_attn.k_norm", "attn_k_norm", PlusOne},
    {"post_attention_layernorm", "post_attention_norm", PlusOne},
    {"pre_feedforward_layernorm", "ffn_norm", PlusOne},
    {"post_feedforward_layernorm", "post_ffw_norm", PlusOne},
}};

constexpr Family kGemma3 = {.hugging_face = "gemma3_text",
                            .gguf = "gemma3",
                            .rope_theta = 1e6,
                            .windows = Windows::kOwn,
                            .activation = "gelu_pytorch_tanh",
                            .defaults = kDefaults,
                            .configure = ConfigureGemma3,
                            .rules = kRules};

constexpr const Family* kAll[] = {&kGemma3};

}  // namespace gemma3

std::span<const Family* const> Gemma3Families() { return gemma3::kAll; }

}  // namespace plimsoll::formats::safetensors
