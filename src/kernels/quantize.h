// From floats to the types of GGUF's tensors: what makes a quantized file.
//
// Nothing here is fast by the standard of the other kernels: it runs once per file. A block's bytes
// depend on its own values alone, so any division into threads or pieces gives the same file.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "tensor/dtype.h"

namespace plimsoll::kernels {

// F32, F16, BF16, Q8_0, Q6_K, Q4_K and Q4_0.
[[nodiscard]] bool CanQuantize(tensor::DType dtype);

// Rounds `values`, a whole number of blocks, to `dtype`; `out` has BytesFor(dtype, values.size())
// bytes. What is rounded is as near as the type allows, in the sum of squares over a block:
//   F16, BF16  the nearest, ties to even
//   Q8_0       the scale that takes the largest value to 127, every value to its nearest multiple
//   Q4_0       the best of several scales, each fitted to its codes by least squares
//   Q4_K       the same per 32 values with scale and minimum, then the best of the neighbouring
//              6-bit scales and minima
//   Q6_K       the best of several scales per 16 values, each fitted to its codes, then the best of
//              the neighbouring 8-bit scales
// Values that are a block of Q8_0 whose largest code is 127, or one of Q4_0 whose largest is -8,
// come back unchanged.
// kBadModel names the first value that is no finite number, or whose block no scale can hold.
[[nodiscard]] Result<> Quantize(tensor::DType dtype, std::span<const float> values,
                                std::span<std::byte> out);

}  // namespace plimsoll::kernels
