// Elementary functions in float, the same bits everywhere: docs/numerics.md, "Elementary
// functions". These scalar forms are the definition; vector kernels evaluate the same steps with
// the same constants. No library function takes part but std::fma and std::sqrt, which round
// correctly.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/exp_constants.h"

namespace plimsoll::kernels {

// e^x, within 0.9 ulp (every float was tried); NaN gives an unspecified value.
[[nodiscard]] inline float Exp(float x) {
  using namespace exp_constants;
  if (x < kLowest) {
    return 0;
  }
  if (!(x <= kHighest)) {
    return std::numeric_limits<float>::infinity();
  }
  const float shifted = std::fma(x, kLog2E, kRoundToInteger);
  const float n = shifted - kRoundToInteger;
  float r = std::fma(-n, kLn2High, x);
  r = std::fma(-n, kLn2Low, r);
  float p = kC6;
  p = std::fma(p, r, kC5);
  p = std::fma(p, r, kC4);
  p = std::fma(p, r, kC3);
  p = std::fma(p, r, kC2);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  // Times 2^n: n is added to the exponent. The low 9 bits of kRoundToInteger are 0, so shifting
  // `shifted` leaves n alone; in the allowed range the result is a normal number.
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) +
                              (std::bit_cast<uint32_t>(shifted) << 23));
}

[[nodiscard]] inline float Sigmoid(float x) { return 1.0F / (1.0F + Exp(-x)); }

[[nodiscard]] inline float Silu(float x) { return x / (1.0F + Exp(-x)); }

// For logit soft caps: the absolute error is a few 2^-24, the relative one grows near 0.
// x times the sigmoid of 2 sqrt(2 / pi) (x + 0.044715 x^3).
[[nodiscard]] inline float Gelu(float x) {
  using namespace exp_constants;
  return x / (1.0F + Exp(-(x * std::fma(x * x, kGeluCubic, kGeluLinear))));
}
[[nodiscard]] inline float Tanh(float x) { return 1.0F - 2.0F / (Exp(2.0F * x) + 1.0F); }

}  // namespace plimsoll::kernels
