// Q8_0 and Q4_0: 32 values with one scale.
#include <array>

#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kN = 32;
using Codes = std::array<float, kN>;

// Codes of Q4_0 reach one further down than up.
constexpr float kLowest = -8;
constexpr float kHighest = 7;

Codes NearestCodes(std::span<const float, kN> x, float scale) {
  Codes codes;
  for (size_t i = 0; i < kN; ++i) {
    codes[i] = NearestCode(x[i] / scale, kLowest, kHighest);
  }
  return codes;
}

// The scale that makes the sum of squares of x - scale * codes least; 0 when all codes are 0.
double FittedScale(std::span<const float, kN> x, const Codes& codes) {
  const double products = SumOf32([&](size_t i) { return double{codes[i]} * x[i]; });
  const double squares = SumOf32([&](size_t i) { return double{codes[i]} * codes[i]; });
  return squares == 0 ? 0 : products / squares;
}

double SquaredError(std::span<const float, kN> x, const Codes& codes, double scale) {
  return SumOf32([&](size_t i) {
    const double difference = x[i] - scale * codes[i];
    return difference * difference;
  });
}

float SignedLargest(std::span<const float, kN> x) {
  float largest = 0;
  for (const float value : x) {
    largest = std::fabs(value) > std::fabs(largest) ? value : largest;
  }
  return largest;
}

uint8_t Nibble(float code) { return static_cast<uint8_t>(static_cast<int>(code) + 8); }

}  // namespace

bool QuantizeBlock(std::span<const float, 32> x, tensor::BlockQ8_0& out) {
  out.d = ScaleBitsFor(LargestMagnitude(x), 127);
  const float scale = F16ToFloat(out.d);
  if (scale > kF16Max) {
    return false;
  }
  for (size_t i = 0; i < kN; ++i) {
    out.qs[i] = scale == 0 ? int8_t{0} : static_cast<int8_t>(NearestCode(x[i] / scale, -127, 127));
  }
  return true;
}

// The value of largest magnitude need not get the code of largest magnitude: a little to either
// side of that the others may gain more than it loses.
bool QuantizeBlock(std::span<const float, 32> x, tensor::BlockQ4_0& out) {
  // The first one first: when values are codes times a scale already, its error is 0.
  constexpr std::array<double, 17> kLevels = {8,     7,     7.125, 7.25,  7.375, 7.5,
                                              7.625, 7.75,  7.875, 8.125, 8.25,  8.375,
                                              8.5,   8.625, 8.75,  8.875, 9};
  const double largest = SignedLargest(x);
  Codes best_codes = {};
  double best_error = -1;  // none yet
  out.d = 0;
  for (const double level : kLevels) {
    if (largest == 0 || best_error == 0) {
      break;
    }
    const float guess = F16ToFloat(ScaleBits(-largest / level));
    const double fitted = FittedScale(x, NearestCodes(x, guess));
    const uint16_t bits = ScaleBits(fitted == 0 ? double{guess} : fitted);
    const float scale = F16ToFloat(bits);
    if (std::fabs(scale) > kF16Max) {
      continue;
    }
    const Codes codes = NearestCodes(x, scale);
    const double error = SquaredError(x, codes, scale);
    if (best_error < 0 || error < best_error) {
      best_error = error;
      best_codes = codes;
      out.d = bits;
    }
  }
  for (size_t i = 0; i < kN / 2; ++i) {
    out.qs[i] = static_cast<uint8_t>(Nibble(best_codes[i]) | Nibble(best_codes[i + 16]) << 4);
  }
  return largest == 0 || best_error >= 0;
}

}  // namespace plimsoll::kernels
