// Dimensions of a tensor, fastest-varying first, as GGUF stores them: a matrix of `rows` rows of
// length k is {k, rows}, a stack of expert matrices {k, rows, n_experts}.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <fmt/format.h>

namespace plimsoll::tensor {

struct Shape {
  static constexpr uint32_t kMaxDims = 4;

  uint32_t n_dims = 0;
  std::array<uint64_t, kMaxDims> dims = {1, 1, 1, 1};  // unused ones are 1

  // The parser has checked that the product does not overflow.
  [[nodiscard]] uint64_t Elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
  [[nodiscard]] std::string ToString() const {
    std::string text = "[";
    for (uint32_t i = 0; i < n_dims; ++i) {
      text += fmt::format("{}{}", i == 0 ? "" : ", ", dims[i]);
    }
    return text + "]";
  }

  // Trailing dimensions of 1 do not matter.
  friend bool operator==(const Shape& a, const Shape& b) { return a.dims == b.dims; }
};

template <class... Dims>
[[nodiscard]] Shape MakeShape(Dims... dims) {
  static_assert(sizeof...(Dims) >= 1 && sizeof...(Dims) <= Shape::kMaxDims);
  Shape shape;
  shape.n_dims = sizeof...(Dims);
  uint32_t i = 0;
  ((shape.dims[i++] = static_cast<uint64_t>(dims)), ...);
  return shape;
}

}  // namespace plimsoll::tensor
