// gpt-oss: biases everywhere, attention sinks, a window in every other layer. Experts come in MXFP4
// or, in models trained further, in 16 bits as stacks of columns; rows of gate and up alternate.
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace gpt_oss {

void ConfigureGptOss(ConfigKeys& keys) {
  keys.CopyNeeded("sliding_window", "attention.sliding_window");
  keys.Copy("intermediate_size", "expert_feed_forward_length");
  const std::vector<std::string> types = keys.Strings("layer_types");
  for (size_t i = 0; i < types.size(); ++i) {
    if ((types[i] == "sliding_attention") != (i % 2 == 0)) {
      keys.Refuse("layer_types",
                  "layer {}: windows in other than every second layer are not "
                  "supported",
                  i);
      return;
    }
  }
}

constexpr std::array<Rule, 12> kRules = {{
    {"post_attention_layernorm", "post_attention_norm"},
    {"self_attn.sinks", "attn_sinks.weight"},
    {"mlp.router", "ffn_gate_inp"},
    {"mlp.experts.gate_up_proj_blocks", "ffn_gate_exps.weight", EvenRows},
    {"mlp.experts.gate_up_proj_blocks", "ffn_up_exps.weight", OddRows},
    {"mlp.experts.down_proj_blocks", "ffn_down_exps.weight"},
    {"mlp.experts.gate_up_proj", "ffn_gate_exps.weight", TransposedEven},
    {"mlp.experts.gate_up_proj", "ffn_up_exps.weight", TransposedOdd},
    {"mlp.experts.down_proj", "ffn_down_exps.weight", Transposed},
    {"mlp.experts.gate_up_proj_bias", "ffn_gate_exps.bias", EvenColumns},
    {"mlp.experts.gate_up_proj_bias", "ffn_up_exps.bias", OddColumns},
    {"mlp.experts.down_proj_bias", "ffn_down_exps.bias"},
}};

constexpr Family kGptOss = {.hugging_face = "gpt_oss",
                            .gguf = "gpt-oss",
                            .rms_eps = 1e-5,
                            .rope_theta = 150'000,
                            .windows = Windows::kOwn,
                            .configure = ConfigureGptOss,
                            .rules = kRules};

constexpr const Family* kAll[] = {&kGptOss};

}  // namespace gpt_oss

std::span<const Family* const> GptOssFamilies() { return gpt_oss::kAll; }

}  // namespace plimsoll::formats::safetensors
