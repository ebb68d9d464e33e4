#include "kernels/generic/vector_ops.h"

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vec.h"
#include "kernels/generic/recurrent.h"

namespace plimsoll::kernels::avx2 {

void RmsNorm(const float* x, const float* weight, float eps, uint64_t n, float* y) {
  RmsNormOf<F32x16>(x, weight, eps, n, y);
}
void SiluMul(const float* gate, const float* up, uint64_t n, float* y) {
  SiluMulOf<F32x16>(gate, up, n, y);
}
void SwigluClamped(const float* gate, const float* up, float alpha, float limit, uint64_t n,
                   float* y) {
  SwigluClampedOf<F32x16>(gate, up, alpha, limit, n, y);
}
void GeluMul(const float* gate, const float* up, uint64_t n, float* y) {
  GeluMulOf<F32x16>(gate, up, n, y);
}
void Add(const float* x, uint64_t n, float* y) { AddOf<F32x16>(x, n, y); }
void Axpy(float a, const float* x, uint64_t n, float* y) { AxpyOf<F32x16>(a, x, n, y); }
void Softmax(float* x, uint64_t n) { SoftmaxOf<F32x16>(x, n); }
void Sigmoid(float* x, uint64_t n) { SigmoidOfAll<F32x16>(x, n); }
void SigmoidMul(const float* gate, const float* x, uint64_t n, float* y) {
  SigmoidMulOf<F32x16>(gate, x, n, y);
}
void ShortConv(const float* const* inputs, const float* weights, uint32_t width, size_t stride,
               uint64_t n, float* y) {
  ShortConvOf<F32x16>(inputs, weights, width, stride, n, y);
}
void DeltaRule(const DeltaRuleArgs& args) { DeltaRuleOf<F32x16>(args); }
void ToF16(const float* x, uint64_t n, uint16_t* y) { ToF16Of<F32x16>(x, n, y); }
void Rope(float* x, const float* cos, const float* sin, uint32_t n_pairs, bool neox) {
  RopeOf<F32x16>(x, cos, sin, n_pairs, neox);
}

}  // namespace plimsoll::kernels::avx2
