// One block at a time, for quantize.cc. Every value is a finite number.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/codebook_search.h"
#include "kernels/half.h"
#include "tensor/blocks.h"

namespace plimsoll::kernels {

// Values with what the square of each one's error counts. The weights of a block are not negative,
// and their mean is 1.
template <size_t kN>
struct Weighted {
  std::span<const float, kN> x;
  std::span<const float, kN> w;

  // The j-th run of kPart values.
  template <size_t kPart>
  [[nodiscard]] Weighted<kPart> Part(size_t j) const {
    return {std::span<const float, kPart>(x.data() + kPart * j, kPart),
            std::span<const float, kPart>(w.data() + kPart * j, kPart)};
  }
};

// False when the values are too large for the block's scales.
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ8_0& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ4_0& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ5_0& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ4_1& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ5_1& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ2_K& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ3_K& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ4_K& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ5_K& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ6_K& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockIQ4_NL& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockIQ4_XS& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<32>& v, tensor::BlockMXFP4& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<64>& v, tensor::BlockNVFP4& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockTQ1_0& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, tensor::BlockTQ2_0& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ2_XXS& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ2_XS& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ2_S& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ3_XXS& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ3_S& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ1_S& out);
[[nodiscard]] bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                                 tensor::BlockIQ1_M& out);

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

// The sum of value(0) to value(kN - 1), in eight partial sums that do not wait for one another.
template <size_t kN, class Value>
[[nodiscard]] double Sum(Value value) {
  std::array<double, 8> sums = {};
  static_assert(kN % sums.size() == 0);
  for (size_t i = 0; i < kN; i += sums.size()) {
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

[[nodiscard]] inline float SignedLargest(std::span<const float> x) {
  float largest = 0;
  for (const float value : x) {
    largest = std::fabs(value) > std::fabs(largest) ? value : largest;
  }
  return largest;
}

}  // namespace plimsoll::kernels
