// Llama 1 to 3, Mistral, Mixtral, and Mistral's models with YaRN, alone or behind a part for
// images. GGUF has the rotary pairs of queries and keys as neighbours.
#include "formats/safetensors/config_rope.h"
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace llama {

// Queries grow with their position, and YaRN's length of rotated vectors is taken back.
void ConfigureMinistral(ConfigKeys& keys) {
  const auto rope = RopeOf(keys, "full_attention");
  if (!rope) {
    keys.Refuse("rope_parameters", "it is missing");
    return;
  }
  keys.CopyF32Of(*rope, "mscale_all_dim", "rope.scaling.yarn_log_multiplier");
  keys.CopyF32Of(*rope, "llama_4_scaling_beta", "attention.temperature_scale");
  if (keys.Take(rope->Number("mscale")).value_or(1) != 1) {
    keys.Note(rope->Bad("mscale", "only 1 is supported").value());
  }
}

constexpr Family kLlama = {
    .hugging_face = "llama", .gguf = "llama", .rules = kPairedQueriesAndKeys};
constexpr Family kMistral = {.hugging_face = "mistral",
                             .gguf = "llama",
                             .windows = Windows::kAlways,
                             .rules = kPairedQueriesAndKeys};
constexpr Family kMixtral = {.hugging_face = "mixtral",
                             .gguf = "llama",
                             .rms_eps = 1e-5,
                             .rope_theta = 1e6,
                             .windows = Windows::kAlways,
                             .normalises = true,
                             .rules = kPairedQueriesAndKeys};
constexpr Family kMinistral = {.hugging_face = "ministral3",
                               .gguf = "mistral3",
                               .rms_eps = 1e-5,
                               .windows = Windows::kAlways,
                               .configure = ConfigureMinistral,
                               .rules = kPairedQueriesAndKeys};

constexpr const Family* kAll[] = {&kLlama, &kMistral, &kMixtral, &kMinistral};

}  // namespace llama

std::span<const Family* const> LlamaFamilies() { return llama::kAll; }

}  // namespace plimsoll::formats::safetensors
