// The functions of the `ref` set: docs/numerics.md as code. Other sets fall back to them for what
// they do not have. Contracts: kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codebook_search.h"
#include "kernels/kernels.h"
#include "kernels/peak_loops.h"

namespace plimsoll::kernels::ref {

void PackActivation(ActivationFormat format, const float* x, uint64_t k, std::byte* out);

void MatMul(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end, const Activations& x,
            float* y, size_t y_stride, std::byte* workspace);
// Multiplies what a product gave by the matrix's scale, if it has one.
void ScaleProducts(const tensor::Matrix& w, uint64_t n_rows, size_t n_tokens, float* y,
                   size_t y_stride);
size_t MatMulWorkspaceBytes(uint64_t k);
void DequantizeRow(const tensor::Matrix& w, uint64_t r, float* out);

void Attention(const AttentionArgs* heads, size_t n_heads);
void AttentionWeights(const AttentionArgs& args, float* sums);
size_t AttentionWorkspaceBytes(uint32_t head_dim_k, uint32_t head_dim_v);

void RmsNorm(const float* x, const float* weight, float eps, uint64_t n, float* y);
void SiluMul(const float* gate, const float* up, uint64_t n, float* y);
void SwigluClamped(const float* gate, const float* up, float alpha, float limit, uint64_t n,
                   float* y);
void GeluMul(const float* gate, const float* up, uint64_t n, float* y);
void Add(const float* x, uint64_t n, float* y);
void Axpy(float a, const float* x, uint64_t n, float* y);
void Softmax(float* x, uint64_t n);
void Sigmoid(float* x, uint64_t n);
void SigmoidMul(const float* gate, const float* x, uint64_t n, float* y);
void ShortConv(const float* const* inputs, const float* weights, uint32_t width, size_t stride,
               uint64_t n, float* y);
void DeltaRule(const DeltaRuleArgs& args);
void ToF16(const float* x, uint64_t n, uint16_t* y);
void Rope(float* x, const float* cos, const float* sin, uint32_t n_pairs, bool neox);

extern const KernelSet kKernelSet;
extern const PeakLoops kPeakLoops;
extern const CodebookSearch kCodebookSearch;

}  // namespace plimsoll::kernels::ref
