// The constants of exp (docs/numerics.md, "Elementary functions"), shared by math.h and the vector
// kernels, which must not include inline functions with external linkage.
#pragma once

namespace plimsoll::kernels::exp_constants {

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

// Of gelu: 2 sqrt(2 / pi), and the same times 0.044715.
inline constexpr float kGeluLinear = 1.59576912F;
inline constexpr float kGeluCubic = 0.0713548163F;

}  // namespace plimsoll::kernels::exp_constants
