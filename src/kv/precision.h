// In which type a model's keys and values are kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/kv_panel.h"

namespace plimsoll::kv {

struct Precision {
  // Layers [first, last].
  struct Layers {
    uint32_t first = 0;
    uint32_t last = 0;
    tensor::KvType type = tensor::KvType::kF16;
  };

  tensor::KvType type = tensor::KvType::kF16;
  std::vector<Layers> layers;  // that have another; of several for a layer the last counts
  // Keys and queries of quantized layers are turned by a Walsh-Hadamard matrix: what is large in
  // one channel is spread over all, and scores stay what they are (QuaRot, arXiv:2404.00456).
  bool rotate = false;

  [[nodiscard]] tensor::KvType TypeOf(uint32_t layer_idx) const;
  // Not F16 throughout.
  [[nodiscard]] bool is_lossy() const;
  // "q8", "q8, 0-1=f16, rotated"
  [[nodiscard]] std::string Text() const;
};

// "q8". kUsage with the names that there are.
[[nodiscard]] Result<tensor::KvType> ParseKvType(std::string_view text);
// "0-1=f16,5=q8". kUsage for anything else.
[[nodiscard]] Result<std::vector<Precision::Layers>> ParseKvTypeLayers(std::string_view text);

}  // namespace plimsoll::kv
