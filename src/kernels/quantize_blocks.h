// One block at a time, for quantize.cc. Every value is a finite number.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/half.h"
#include "tensor/blocks.h"

namespace plimsoll::kernels {

// False when the values are too large for the block's scales.
[[nodiscard]] bool QuantizeBlock(std::span<const float, 32> x, tensor::BlockQ8_0& out);
[[nodiscard]] bool QuantizeBlock(std::span<const float, 32> x, tensor::BlockQ4_0& out);
[[nodiscard]] bool QuantizeBlock(std::span<const float, 256> x, tensor::BlockQ4_K& out);
[[nodiscard]] bool QuantizeBlock(std::span<const float, 256> x, tensor::BlockQ6_K& out);

// The largest F16.
inline constexpr float kF16Max = 65504.0F;

// The nearest F16, but the least one instead of 0 for what is not 0: a block whose scale is 0 has
// lost everything. Infinite above kF16Max.
[[nodiscard]] inline uint16_t ScaleBits(double scale) {
  const uint16_t bits = FloatToF16(static_cast<float>(scale));
  const bool vanished = (bits & 0x7FFFU) == 0 && scale != 0;
  return vanished ? static_cast<uint16_t>(bits | 1U) : bits;
}

// The F16 of which `largest` is at most `codes` times. Among subnormal F16 the nearest scale may be
// so much too small that the largest value would be cut off.
[[nodiscard]] inline uint16_t ScaleBitsFor(float largest, float codes) {
  const uint16_t bits = ScaleBits(double{largest} / codes);
  const bool cut_off = double{largest} > (codes + 0.5) * double{F16ToFloat(bits)};
  return static_cast<uint16_t>(bits + (cut_off ? 1 : 0));
}

// To the nearest integer, ties to even, for |x| < 2^22. The sum has no bits left below 1.
[[nodiscard]] inline float NearestInteger(float x) {
  constexpr float kShift = 0x1.8p23F;
  return (x + kShift) - kShift;
}

// The nearest integer within [low, high].
[[nodiscard]] inline float NearestCode(float x, float low, float high) {
  return NearestInteger(std::min(std::max(x, low), high));
}

// The sum of value(0) to value(31), in eight partial sums that do not wait for one another.
template <class Value>
[[nodiscard]] double SumOf32(Value value) {
  std::array<double, 8> sums = {};
  for (size_t i = 0; i < 32; i += sums.size()) {
    for (size_t j = 0; j < sums.size(); ++j) {
      sums[j] += value(i + j);
    }
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

[[nodiscard]] inline float LargestMagnitude(std::span<const float> x) {
  float largest = 0;
  for (const float value : x) {
    largest = std::fmax(largest, std::fabs(value));
  }
  return largest;
}

}  // namespace plimsoll::kernels
