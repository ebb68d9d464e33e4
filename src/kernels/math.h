// Elementary functions in float, the same bits everywhere: docs/numerics.md, "Elementary
// functions". These scalar forms are the definition; vector kernels evaluate the same steps with
// the same constants. No library function takes part but std::fma and std::sqrt, which round
// correctly.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace plimsoll::kernels {

namespace exp_constants {

inline constexpr float kLowest = -87.3F;  // below: 0, so that no result is subnormal
inline constexpr float kHighest = 88.7F;  // above: infinity
inline constexpr float kLog2E = 0x1.715476p+0F;
// ln 2 in two parts: n * kLn2High is subtracted without error, kLn2Low is what is missing.
inline constexpr float kLn2High = 0x1.62e43p-1F;
inline constexpr float kLn2Low = -0x1.05c61p-29F;
// Adding 1.5 * 2^23 rounds a float of magnitude under 2^22 to an integer, ties to even, and leaves
// that integer in the low bits of the sum.
inline constexpr float kRoundToInteger = 0x1.8p+23F;
// exp(r) = 1 + r (1 + r (c2 + r (c3 + r (c4 + r (c5 + r c6))))) for |r| <= ln(2) / 2: minimax in
// relative error (3.1e-9) with the first two coefficients held at 1.
inline constexpr float kC2 = 0x1.fffffcp-2F;
inline constexpr float kC3 = 0x1.555492p-3F;
inline constexpr float kC4 = 0x1.5558f2p-5F;
inline constexpr float kC5 = 0x1.123a2p-7F;
inline constexpr float kC6 = 0x1.6a23dp-10F;

}  // namespace exp_constants

// e^x, within 1 ulp; NaN gives an unspecified value.
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
[[nodiscard]] inline float Tanh(float x) { return 1.0F - 2.0F / (Exp(2.0F * x) + 1.0F); }

}  // namespace plimsoll::kernels
