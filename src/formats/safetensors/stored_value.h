// Single values of the types that safetensors keep floats in, widened exactly.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "formats/safetensors/header.h"

namespace plimsoll::formats::safetensors {

[[nodiscard]] constexpr uint64_t BytesOfValue(StoredType type) {
  return type == StoredType::kF32                                ? 4
         : type == StoredType::kF16 || type == StoredType::kBF16 ? 2
                                                                 : 1;
}

// OCP's E4M3: no infinities, and NaN where all bits but the sign are set.
[[nodiscard]] inline float E4M3ToFloat(uint8_t bits) {
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

[[nodiscard]] inline float BinaryF16ToFloat(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = mantissa == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  } else {
    magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                              : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// The value of a float type at `at`.
[[nodiscard]] inline float StoredValue(StoredType type, const std::byte* at) {
  if (type == StoredType::kF32) {
    float value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  if (type == StoredType::kF8E4M3) {
    return E4M3ToFloat(std::to_integer<uint8_t>(*at));
  }
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof(bits));
  return type == StoredType::kBF16 ? std::bit_cast<float>(uint32_t{bits} << 16)
                                   : BinaryF16ToFloat(bits);
}

}  // namespace plimsoll::formats::safetensors
