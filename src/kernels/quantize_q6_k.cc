// Q6_K: sixteen sub-blocks of 16 values, each with a scale of 8 bits and a sign, under one F16
// factor: a value is d * scale * code.
#include <algorithm>
#include <array>

#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kN = 16;  // values of a sub-block
constexpr size_t kSubBlocks = 16;
constexpr float kLowestCode = -32;
constexpr float kHighestCode = 31;
constexpr float kLowestScale = -128;
constexpr float kHighestScale = 127;

using Codes = std::array<float, kN>;
using SubBlock = std::span<const float, kN>;

Codes NearestCodes(SubBlock x, float scale) {
  Codes codes = {};
  if (scale != 0) {
    for (size_t i = 0; i < kN; ++i) {
      codes[i] = NearestCode(x[i] / scale, kLowestCode, kHighestCode);
    }
  }
  return codes;
}

double SquaredError(SubBlock x, float scale, const Codes& codes) {
  double sum = 0;
  for (size_t i = 0; i < kN; ++i) {
    const double difference = double{x[i]} - double{scale} * codes[i];
    sum += difference * difference;
  }
  return sum;
}

// Of least squares through the values at their codes; 0 when all codes are 0.
float FittedScale(SubBlock x, const Codes& codes) {
  double products = 0;
  double squares = 0;
  for (size_t i = 0; i < kN; ++i) {
    products += double{codes[i]} * x[i];
    squares += double{codes[i]} * codes[i];
  }
  return squares == 0 ? 0 : static_cast<float>(products / squares);
}

// Tries scales at which the largest value has a code a little below or above the lowest, each
// fitted to its codes.
float BestScale(SubBlock x) {
  const float largest =
      *std::ranges::max_element(x, {}, [](float value) { return std::fabs(value); });
  float best = 0;
  double best_error = SquaredError(x, 0, {});
  for (int step = -8; step <= 8 && best_error > 0; ++step) {
    const float guess = largest / (kLowestCode + 0.25F * static_cast<float>(step));
    const float fitted = FittedScale(x, NearestCodes(x, guess));
    const double error = SquaredError(x, fitted, NearestCodes(x, fitted));
    if (error < best_error) {
      best_error = error;
      best = fitted;
    }
  }
  return best;
}

// The neighbour of the rounded scale on which the values lie best.
float BestScaleCode(SubBlock x, float scale, float d) {
  const float centre = d == 0 ? 0 : NearestCode(scale / d, kLowestScale, kHighestScale);
  float best = centre;
  double best_error = -1;  // none yet
  constexpr std::array<float, 3> kSteps = {0, -1, 1};
  for (const float step : kSteps) {
    const float tried = std::clamp(centre + step, kLowestScale, kHighestScale);
    const double error = SquaredError(x, d * tried, NearestCodes(x, d * tried));
    if (best_error < 0 || error < best_error) {
      best_error = error;
      best = tried;
    }
  }
  return best;
}

// The low four bits of runs 0 and 1 of a half's four runs of 32 values are low nibbles of 32 bytes
// each, those of runs 2 and 3 the high ones; the upper two bits of the four share a byte.
void PackCode(size_t i, float code, tensor::BlockQ6_K& out) {
  const auto bits = static_cast<unsigned>(static_cast<int>(code) + 32);
  const size_t half = i / 128;
  const size_t run = i / 32 % 4;
  const size_t at = i % 32;
  uint8_t& low = out.ql[64 * half + 32 * (run % 2) + at];
  low = static_cast<uint8_t>(low | (bits & 15U) << (run < 2 ? 0 : 4));
  uint8_t& high = out.qh[32 * half + at];
  high = static_cast<uint8_t>(high | bits >> 4 << (2 * run));
}

}  // namespace

bool QuantizeBlock(std::span<const float, 256> x, tensor::BlockQ6_K& out) {
  // Beyond what the largest factor reaches; also keeps the arithmetic below finite.
  if (LargestMagnitude(x) > kF16Max * kHighestScale * kHighestCode) {
    return false;
  }
  const auto sub_block = [x](size_t j) { return SubBlock(x.data() + kN * j, kN); };
  std::array<float, kSubBlocks> scales;
  for (size_t j = 0; j < kSubBlocks; ++j) {
    scales[j] = BestScale(sub_block(j));
  }
  out = {};
  out.d = ScaleBitsFor(LargestMagnitude(scales), kHighestScale);
  const float d = F16ToFloat(out.d);
  if (d > kF16Max) {
    return false;
  }
  for (size_t j = 0; j < kSubBlocks; ++j) {
    const float scale = BestScaleCode(sub_block(j), scales[j], d);
    out.scales[j] = static_cast<int8_t>(scale);
    const Codes codes = NearestCodes(sub_block(j), d * scale);
    for (size_t i = 0; i < kN; ++i) {
      PackCode(kN * j + i, codes[i], out);
    }
  }
  return true;
}

}  // namespace plimsoll::kernels
