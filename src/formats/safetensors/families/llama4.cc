// Llama 4: experts as stacks of columns, with gate and up projections in one; dense layers between
// those with experts are wider.
#include <algorithm>

#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace llama4 {

constexpr uint32_t kPeriod = 4;  // of so many layers the last has no positions
constexpr uint32_t kChunk = 8192;
constexpr double kTemperature = 0.1;

void CheckPositions(ConfigKeys& keys) {
  const std::vector<uint32_t> has_rope = keys.U32List("no_rope_layers");
  for (uint32_t i = 0; i < has_rope.size(); ++i) {
    if ((has_rope[i] != 0) != ((i + 1) % kPeriod != 0)) {
      keys.Refuse("no_rope_layers", "layer {} is not as in Llama 4's models", i);
      return;
    }
  }
  if (has_rope.empty() && keys.U32Or("no_rope_layer_interval", kPeriod) != kPeriod) {
    keys.Refuse("no_rope_layer_interval", "only {} is supported", kPeriod);
  }
}

void CheckMoeLayers(uint32_t step, ConfigKeys& keys) {
  const std::vector<uint32_t> with_experts = keys.U32List("moe_layers");
  const bool is_regular = step != 0 && std::ranges::all_of(with_experts, [step](uint32_t layer) {
                            return (layer + 1) % step == 0;
                          });
  if (!is_regular) {
    keys.Refuse("moe_layers", "they are not every {} layers, as interleave_moe_layer_step says",
                step);
  }
}

void ConfigureLlama4(ConfigKeys& keys) {
  CheckPositions(keys);
  keys.CopyNeeded("intermediate_size_mlp", "feed_forward_length");
  keys.CopyNeeded("intermediate_size", "expert_feed_forward_length");
  const uint32_t step = keys.U32Or("interleave_moe_layer_step", 1);
  keys.Set("interleave_moe_layer_step", step);
  CheckMoeLayers(step, keys);
  keys.Set("attention.chunk_size", keys.U32Or("attention_chunk_size", kChunk));
  keys.SetBool("use_qk_norm", keys.Bool("use_qk_norm").value_or(true));
  // Older files write the flag as a number.
  const bool grows = keys.Flag("attn_temperature_tuning").value_or(true);
  keys.SetF32("attention.temperature_scale",
              grows ? keys.Number("attn_scale").value_or(kTemperature) : 0);
  keys.Set("attention.temperature_length", keys.U32Or("floor_scale", kChunk));
}

constexpr std::array<Rule, 10> kRules = {{
    {"feed_forward.router", "ffn_gate_inp"},
    {"feed_forward.gate_proj", "ffn_gate"},
    {"feed_forward.up_proj", "ffn_up"},
    {"feed_forward.down_proj", "ffn_down"},
    {"feed_forward.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"feed_forward.shared_expert.up_proj", "ffn_up_shexp"},
    {"feed_forward.shared_expert.down_proj", "ffn_down_shexp"},
    {"feed_forward.experts.gate_up_proj", "ffn_gate_exps.weight", TransposedFirstHalf},
    {"feed_forward.experts.gate_up_proj", "ffn_up_exps.weight", TransposedSecondHalf},
    {"feed_forward.experts.down_proj", "ffn_down_exps.weight", Transposed},
}};

constexpr Family kLlama4 = {.hugging_face = "llama4_text",
                            .gguf = "llama4",
                            .rms_eps = 1e-5,
                            .rope_theta = 500'000,
                            .windows = Windows::kOwn,
                            .configure = ConfigureLlama4,
                            .rules = kRules};

constexpr const Family* kAll[] = {&kLlama4};

}  // namespace llama4

std::span<const Family* const> Llama4Families() { return llama4::kAll; }

}  // namespace plimsoll::formats::safetensors
