// Conversions between float and the 16-bit and 8-bit floating-point storage types, in plain C++.
// Widening is exact; narrowing rounds to nearest even. Thread-safe, no state.
#pragma once

#include <bit>
#include <cstdint>

namespace plimsoll::kernels {

// IEEE 754 binary16 to float.
[[nodiscard]] constexpr float F16ToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000U) << 16;
  const uint32_t magnitude = h & 0x7FFFU;
  if (magnitude < 0x0400U) {  // zero or subnormal: a multiple of 2^-24
    const float value = static_cast<float>(magnitude) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  // The exponent's bias changes from 15 to 127; infinities and NaNs keep all ones.
  const uint32_t bias = magnitude < 0x7C00U ? (127U - 15U) << 23 : (255U - 31U) << 23;
  return std::bit_cast<float>(sign | ((magnitude << 13) + bias));
}

// Overflow gives infinity, NaN a quiet NaN.
[[nodiscard]] constexpr uint16_t FloatToF16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) {
    return static_cast<uint16_t>(sign | 0x7E00U | ((magnitude >> 13) & 0x03FFU));
  }
  if (magnitude >= 0x47800000U) {  // 65536 and more
    return static_cast<uint16_t>(sign | 0x7C00U);
  }
  if (magnitude < 0x38800000U) {
    // Below 2^-14 the result is a multiple of 2^-24. Adding 1/2, whose last place is 2^-24, rounds
    // to one, ties to even, and leaves the multiple in the low bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  // Round the 13 bits that go away: half less one, plus the last bit that stays (ties to even). A
  // carry moves into the exponent, and from 65504 upwards to infinity, as it should.
  const uint32_t rounded = magnitude + 0x0FFFU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - ((127U - 15U) << 10)));
}

// bfloat16 is the upper half of a float.
[[nodiscard]] constexpr float BF16ToFloat(uint16_t h) {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

// Overflow gives infinity, NaN a quiet NaN.
[[nodiscard]] constexpr uint16_t FloatToBF16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return static_cast<uint16_t>(bits >> 16 | 0x0040U);
  }
  // Half less one, plus the last bit that stays: ties to even. A carry moves into the exponent.
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

// Half of an E8M0 scale, 2^(e - 128), for every e: the values that it multiplies are doubled
// (docs/numerics.md, MXFP4). The lowest two are subnormal.
[[nodiscard]] constexpr float E8M0HalfToFloat(uint8_t e) {
  return std::bit_cast<float>(e >= 2 ? (static_cast<uint32_t>(e) - 1U) << 23 : 0x00200000U << e);
}

// Half of a UE4M3 scale, for the same reason: bits 3 to 6 are the exponent, biased by 7, bits 0 to
// 2 the mantissa; an exponent of 0 is subnormal. The top bit, a sign elsewhere, is not looked at,
// and what would be no number (0x7F) is 0, as in llama.cpp. From ggml-impl.h and the OCP 8-bit
// Floating Point Specification.
[[nodiscard]] constexpr float UE4M3HalfToFloat(uint8_t x) {
  const uint32_t bits = x & 0x7FU;
  if (bits == 0x7FU) {
    return 0;
  }
  // Exponent and mantissa where a half-precision float has them, whose bias is larger by 8.
  return F16ToFloat(static_cast<uint16_t>(bits << 7)) * 0x1p+7F;
}

}  // namespace plimsoll::kernels
