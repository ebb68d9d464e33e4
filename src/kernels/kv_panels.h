// Writing keys and values of the KV cache as tensor/kv_panel.h has them. One form for every
// instruction set; docs/numerics.md has the arithmetic. Thread-safe, no state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/kv_panel.h"

namespace plimsoll::kernels {

// Quantizes kKvPanelTokens rows of panel.dim F16 elements, one behind another, to the
// panel.bytes() bytes at `out`.
void QuantizePanel(const tensor::KvPanel& panel, const uint16_t* rows, std::byte* out);

// Of a quantized panel: a code as what it counts, with its sign; its scale; what is added, 0 where
// there are no minima; and the element that they stand for.
[[nodiscard]] int PanelCode(const tensor::KvPanel& panel, const std::byte* data, uint32_t token,
                            uint32_t channel);
[[nodiscard]] float PanelScale(const tensor::KvPanel& panel, const std::byte* data, uint32_t token,
                               uint32_t channel);
[[nodiscard]] float PanelMinimum(const tensor::KvPanel& panel, const std::byte* data,
                                 uint32_t channel);
[[nodiscard]] float PanelElement(const tensor::KvPanel& panel, const std::byte* data,
                                 uint32_t token, uint32_t channel);

// In place, x = H x / sqrt(n) with the Walsh-Hadamard matrix of n, a power of two: for h = 1, 2, 4
// and so on (a, b) = (x[i], x[i + h]) becomes (a + b, a - b), at last each is multiplied by
// 1 / sqrt(n).
void Hadamard(float* x, uint32_t n);

}  // namespace plimsoll::kernels
