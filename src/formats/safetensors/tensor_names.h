// Hugging Face's tensor names in GGUF's words, for the layouts of llama, mistral, mixtral, qwen2,
// qwen3, qwen2_moe, qwen3_moe and olmoe. Names after the tables of llama.cpp's gguf-py
// (gguf/tensor_mapping.py).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::formats::safetensors {

struct GgufName {
  std::string name;                // "blk.3.ffn_up_exps.weight"
  std::optional<uint32_t> expert;  // this tensor is that expert's slice of it

  friend bool operator==(const GgufName&, const GgufName&) = default;
};

// nullopt for a name of no known layout.
[[nodiscard]] std::optional<GgufName> ToGgufName(std::string_view name);

}  // namespace plimsoll::formats::safetensors
