// Functions on one vector of activations.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/half.h"
#include "kernels/math.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/stripes.h"

namespace plimsoll::kernels::ref {

void RmsNorm(const float* x, const float* weight, float eps, uint64_t n, float* y) {
  Stripes squares;
  for (uint64_t i = 0; i < n; ++i) {
    squares.AddProduct(i, x[i], x[i]);
  }
  const float r = 1.0F / std::sqrt(squares.Total() / static_cast<float>(n) + eps);
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = (x[i] * r) * weight[i];
  }
}

void SiluMul(const float* gate, const float* up, uint64_t n, float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = Silu(gate[i]) * up[i];
  }
}

void SwigluClamped(const float* gate, const float* up, float alpha, float limit, uint64_t n,
                   float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    const float g = std::min(gate[i], limit);
    const float u = std::clamp(up[i], -limit, limit);
    y[i] = (g / (1.0F + Exp(-(alpha * g)))) * (u + 1.0F);
  }
}

void GeluMul(const float* gate, const float* up, uint64_t n, float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = Gelu(gate[i]) * up[i];
  }
}

void Add(const float* x, uint64_t n, float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = y[i] + x[i];
  }
}

void Axpy(float a, const float* x, uint64_t n, float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = std::fma(a, x[i], y[i]);
  }
}

void Softmax(float* x, uint64_t n) {
  float max = -std::numeric_limits<float>::infinity();
  for (uint64_t i = 0; i < n; ++i) {
    max = std::max(max, x[i]);
  }
  Stripes sum;
  for (uint64_t i = 0; i < n; ++i) {
    x[i] = Exp(x[i] - max);
    sum.Add(i, x[i]);
  }
  const float total = sum.Total();
  for (uint64_t i = 0; i < n; ++i) {
    x[i] = x[i] / total;
  }
}

void Sigmoid(float* x, uint64_t n) {
  for (uint64_t i = 0; i < n; ++i) {
    x[i] = kernels::Sigmoid(x[i]);
  }
}

void SigmoidMul(const float* gate, const float* x, uint64_t n, float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = x[i] * kernels::Sigmoid(gate[i]);
  }
}

void ToF16(const float* x, uint64_t n, uint16_t* y) {
  for (uint64_t i = 0; i < n; ++i) {
    y[i] = FloatToF16(x[i]);
  }
}

void Rope(float* x, const float* cos, const float* sin, uint32_t n_pairs, bool neox) {
  for (uint32_t i = 0; i < n_pairs; ++i) {
    float& first = neox ? x[i] : x[2 * i];
    float& second = neox ? x[i + n_pairs] : x[2 * i + 1];
    const float x0 = first;
    const float x1 = second;
    first = std::fma(x0, cos[i], -(x1 * sin[i]));
    second = std::fma(x1, cos[i], x0 * sin[i]);
  }
}

}  // namespace plimsoll::kernels::ref
