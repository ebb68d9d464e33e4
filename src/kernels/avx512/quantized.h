// Matrix products with quantized weights in AVX-512 with VNNI. Contracts: kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace plimsoll::kernels::avx512 {

// KernelSet::matmul for every weight type whose activations are packed to kQ8x32 or kQ8x256.
void MatMulQuantized(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                     const Activations& x, float* y, size_t y_stride, std::byte* workspace);
// KernelSet::pack_activation.
void PackActivation(ActivationFormat format, const float* x, uint64_t k, std::byte* out);

// Of any k, in bytes.
[[nodiscard]] size_t MatMulQuantizedWorkspaceBytes();

// The two halves of MatMulQuantized, by the size of a block.
void MatMulQuantized32(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                       const Activations& x, float* y, size_t y_stride, std::byte* workspace);
void MatMulQuantized256(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                        const Activations& x, float* y, size_t y_stride, std::byte* workspace);
// Of the second the types with codebooks.
void MatMulQuantizedCodebook(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                             const Activations& x, float* y, size_t y_stride, std::byte* workspace);

}  // namespace plimsoll::kernels::avx512
