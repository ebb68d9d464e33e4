// Qwen 2 to 3, dense and with experts, and OLMoE.
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace qwen {

constexpr Family kQwen2 = {.hugging_face = "qwen2", .gguf = "qwen2"};
constexpr Family kQwen2Moe = {.hugging_face = "qwen2_moe", .gguf = "qwen2moe"};
constexpr Family kQwen3 = {.hugging_face = "qwen3", .gguf = "qwen3"};
constexpr Family kQwen3Moe = {.hugging_face = "qwen3_moe", .gguf = "qwen3moe"};
constexpr Family kOlmoe = {.hugging_face = "olmoe", .gguf = "olmoe", .rms_eps = 1e-5};

constexpr const Family* kAll[] = {&kQwen2, &kQwen2Moe, &kQwen3, &kQwen3Moe, &kOlmoe};

}  // namespace qwen

std::span<const Family* const> QwenFamilies() { return qwen::kAll; }

}  // namespace plimsoll::formats::safetensors
