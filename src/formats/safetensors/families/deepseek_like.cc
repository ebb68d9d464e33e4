// Families whose experts are chosen as DeepSeek-V3's are: dots.llm1, GLM-4.5 to 4.7, MiniMax-M2.
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace deepseek_like {

// Its experts are all that it has, so that their width is the feed-forward's.
void ConfigureMinimax(ConfigKeys& keys) {
  keys.Copy("intermediate_size", "expert_feed_forward_length");
  keys.Copy("rotary_dim", "rope.dimension_count");
  const auto scoring = keys.String("scoring_func");
  if (scoring && *scoring != "sigmoid") {
    keys.Refuse("scoring_func", "only sigmoid is supported");
  }
}

constexpr std::array<Rule, 1> kGlmRules = {{
    {"post_attention_layernorm", "post_attention_norm"},
}};

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

constexpr const Family* kAll[] = {&kDots1, &kGlm4Moe, &kMinimaxM2};

}  // namespace deepseek_like

std::span<const Family* const> DeepseekLikeFamilies() { return deepseek_like::kAll; }

}  // namespace plimsoll::formats::safetensors
