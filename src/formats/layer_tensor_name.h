// GGUF's names of a layer's tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace plimsoll::formats {

// 12 and "attn_q.weight" of "blk.12.attn_q.weight".
struct LayerTensorName {
  uint32_t layer_idx = 0;
  std::string_view rest;  // of the name that was parsed
};

// Nothing for names of tensors that are in no layer.
[[nodiscard]] std::optional<LayerTensorName> ParseLayerTensorName(std::string_view name);

}  // namespace plimsoll::formats
