// The families by the file that describes them.
#pragma once

#include <array>

#include "formats/safetensors/family.h"

namespace plimsoll::formats::safetensors {

// For families whose GGUF files have rotary pairs as neighbours.
inline constexpr std::array<Rule, 2> kPairedQueriesAndKeys = {{
    {"self_attn.q_proj", "attn_q", QueryPairs},
    {"self_attn.k_proj", "attn_k", KeyPairs},
}};

[[nodiscard]] std::span<const Family* const> LlamaFamilies();
[[nodiscard]] std::span<const Family* const> Llama4Families();
[[nodiscard]] std::span<const Family* const> QwenFamilies();
[[nodiscard]] std::span<const Family* const> HybridQwenFamilies();
[[nodiscard]] std::span<const Family* const> GraniteFamilies();
[[nodiscard]] std::span<const Family* const> PhiFamilies();
[[nodiscard]] std::span<const Family* const> DeepseekLikeFamilies();
[[nodiscard]] std::span<const Family* const> GptOssFamilies();
[[nodiscard]] std::span<const Family* const> Gemma3Families();
[[nodiscard]] std::span<const Family* const> Gemma4Families();

}  // namespace plimsoll::formats::safetensors
