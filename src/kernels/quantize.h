// From floats to the types of GGUF's tensors: what makes a quantized file.
//
// Little here is fast by the standard of the other kernels: it runs once per file. A block's bytes
// depend on its own values alone, so any division into threads or pieces gives the same file.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

namespace plimsoll::kernels {

// Rounds `values`, a whole number of blocks, to `dtype`; `out` has BytesFor(dtype, values.size())
// bytes. `importance`, empty or as long as the values, says how much the square of each value's
// error counts, in units of the caller's; its numbers are finite and not negative.
//
// What is rounded is as near as the type allows, in the sum of squares over a block:
//   F16, BF16             the nearest, ties to even, whatever counts
//   Q8_0                  the scale that takes the largest value to 127, every value to its nearest
//                         multiple, whatever counts
//   Q4_0, Q5_0, IQ4_NL    the best of several scales, each fitted to its codes by least squares
//   Q3_K, Q6_K, IQ4_XS    the same in each sub-block, then the best of the neighbouring scales that
//                         the type has, then the factor fitted to all sub-blocks
//   Q4_1, Q5_1            the best of several lines, each fitted to its codes by least squares
//   Q2_K, Q4_K, Q5_K      the same in each sub-block, then the best of the neighbouring scales and
//                         minima that the type has
//   MXFP4                 the best power of two
//   NVFP4                 of sixteen values each the best of the type's scales, the least of which
//                         is 2^-10: what is below half of that is lost
//   TQ1_0, TQ2_0          the scale of least squares, exactly
//   IQ2_*, IQ3_*          in each sub-block the best of several scales, each with its best entries
//   of
//                         the codebook, then the best of the neighbouring scales that the type has,
//                         then the factor that keeps the sum of squares: least squares would
//                         shrink what is this coarse
//   IQ1_S, IQ1_M          the same, but the first guess of a scale does without the codebook
// Values that are a block of Q8_0 whose largest code is 127, one of Q4_0, Q5_0 or IQ4_NL with the
// outermost code, one of Q4_1 or Q5_1 with the lowest and the highest, or one of MXFP4, NVFP4,
// TQ1_0 or TQ2_0 come back unchanged.
// kBadModel names the first value that is no finite number, or whose block no scale can hold.
// Which kernels search changes the time and no bit.
[[nodiscard]] Result<> Quantize(tensor::DType dtype, std::span<const float> values,
                                std::span<const float> importance, std::span<std::byte> out,
                                const KernelSet& kernels);

}  // namespace plimsoll::kernels
