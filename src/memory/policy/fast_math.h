// Logarithm and exponential for scores: a few percent of accuracy, a few instructions, and the same
// bits on every machine, so that a replay counts the same everywhere.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace plimsoll::memory::policy {

// ln x for x > 0, within 0.001. The exponent's bits plus a cubic through the mantissa.
inline float FastLog(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const float exponent = static_cast<float>(static_cast<int32_t>(bits >> 23) - 127);
  const float m = std::bit_cast<float>((bits & 0x007FFFFFU) | 0x3F800000U) - 1;  // [0, 1)
  const float log2 = m * (1.4234F + m * (-0.5830F + m * 0.1596F));
  return 0.6931472F * (exponent + log2);
}

// e^x within 0.5 % for x in [-80, 80], which it is brought to.
inline float FastExp(float x) {
  const float log2 = std::clamp(x, -80.0F, 80.0F) * 1.4426950F;
  const auto whole = static_cast<int32_t>(log2 + 256) - 256;  // rounded down
  const float part = log2 - static_cast<float>(whole);        // [0, 1)
  const float scale = std::bit_cast<float>(static_cast<uint32_t>(whole + 127) << 23);
  return scale * (1 + part * (0.6565F + part * 0.3435F));
}

}  // namespace plimsoll::memory::policy
