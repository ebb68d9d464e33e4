// Q4_K: eight sub-blocks of 32 values, each with a 6-bit scale and a 6-bit minimum, under two F16
// factors: a value is d * scale * code - dmin * minimum.
#include <algorithm>
#include <array>

#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kN = 32;  // values of a sub-block
constexpr size_t kSubBlocks = 8;
constexpr float kHighestCode = 15;
constexpr float kHighestScale = 63;

using Codes = std::array<float, kN>;
using SubBlock = std::span<const float, kN>;

// value = scale * code - minimum; neither is negative.
struct Line {
  float scale = 0;
  float minimum = 0;
};

Codes NearestCodes(SubBlock x, const Line& line) {
  Codes codes = {};
  if (line.scale > 0) {
    for (size_t i = 0; i < kN; ++i) {
      codes[i] = NearestCode((x[i] + line.minimum) / line.scale, 0, kHighestCode);
    }
  }
  return codes;
}

double SquaredError(SubBlock x, const Line& line, const Codes& codes) {
  return SumOf32([&](size_t i) {
    const double difference = double{line.scale} * codes[i] - line.minimum - x[i];
    return difference * difference;
  });
}

// The line of least squares through the values at their codes.
Line FittedLine(SubBlock x, const Codes& codes) {
  const double code_sum = SumOf32([&](size_t i) { return codes[i]; });
  const double code_squares = SumOf32([&](size_t i) { return double{codes[i]} * codes[i]; });
  const double value_sum = SumOf32([&](size_t i) { return x[i]; });
  const double products = SumOf32([&](size_t i) { return double{codes[i]} * x[i]; });
  const double determinant = kN * code_squares - code_sum * code_sum;
  if (code_squares == 0) {
    return {};
  }
  // Equal codes fix no offset.
  const double offset =
      determinant == 0 ? 0 : (code_squares * value_sum - code_sum * products) / determinant;
  if (offset >= 0) {  // a minimum only ever takes away
    return {static_cast<float>(std::max(0.0, products / code_squares)), 0};
  }
  const double scale = (kN * products - code_sum * value_sum) / determinant;
  return {static_cast<float>(std::max(0.0, scale)), static_cast<float>(-offset)};
}

// Tries lines on which the range of the values spans a little less or more than all sixteen codes,
// each fitted to its codes.
Line BestLine(SubBlock x) {
  const auto [least, most] = std::ranges::minmax(x);
  const float bottom = std::min(least, 0.0F);
  Line best = {0, -bottom};  // right when all values are equal and not positive
  double best_error = SquaredError(x, best, {});
  for (int step = -6; step <= 6 && best_error > 0; ++step) {
    const float levels = kHighestCode + 0.25F * static_cast<float>(step);
    const Line guess = {(most - bottom) / levels, -bottom};
    const Line fitted = FittedLine(x, NearestCodes(x, guess));
    const double error = SquaredError(x, fitted, NearestCodes(x, fitted));
    if (error < best_error) {
      best_error = error;
      best = fitted;
    }
  }
  return best;
}

struct SixBit {
  float scale = 0;
  float minimum = 0;
};

// The neighbour of the rounded pair on which the values lie best.
SixBit BestSixBit(SubBlock x, const Line& line, float d, float dmin) {
  const auto rounded = [](float value, float unit) {
    return unit == 0 ? 0 : NearestCode(value / unit, 0, kHighestScale);
  };
  const SixBit centre = {rounded(line.scale, d), rounded(line.minimum, dmin)};
  SixBit best = centre;
  double best_error = -1;  // none yet
  constexpr std::array<float, 3> kSteps = {0, -1, 1};
  for (const float scale_step : kSteps) {
    for (const float minimum_step : kSteps) {
      const SixBit tried = {std::clamp(centre.scale + scale_step, 0.0F, kHighestScale),
                            std::clamp(centre.minimum + minimum_step, 0.0F, kHighestScale)};
      const Line tried_line = {d * tried.scale, dmin * tried.minimum};
      const double error = SquaredError(x, tried_line, NearestCodes(x, tried_line));
      if (best_error < 0 || error < best_error) {
        best_error = error;
        best = tried;
      }
    }
  }
  return best;
}

// Scales and minima 0-3 are the low six bits of bytes 0-3 and 4-7; of 4-7 the low nibbles lie in
// bytes 8-11 and the upper two bits on top of bytes 0-7.
void PackSixBits(const std::array<SixBit, kSubBlocks>& pairs, tensor::BlockQ4_K& out) {
  const auto bits = [](float value) { return static_cast<uint32_t>(value); };
  for (size_t j = 0; j < 4; ++j) {
    const uint32_t scale = bits(pairs[j + 4].scale);
    const uint32_t minimum = bits(pairs[j + 4].minimum);
    out.scales[j] = static_cast<uint8_t>(bits(pairs[j].scale) | scale >> 4 << 6);
    out.scales[j + 4] = static_cast<uint8_t>(bits(pairs[j].minimum) | minimum >> 4 << 6);
    out.scales[j + 8] = static_cast<uint8_t>((scale & 15U) | (minimum & 15U) << 4);
  }
}

// Two sub-blocks share 32 bytes: the first in the low nibbles.
void PackCodes(size_t sub_block, const Codes& codes, tensor::BlockQ4_K& out) {
  uint8_t* bytes = out.qs + 32 * (sub_block / 2);
  for (size_t i = 0; i < kN; ++i) {
    const auto code = static_cast<uint8_t>(codes[i]);
    bytes[i] = sub_block % 2 == 0 ? code : static_cast<uint8_t>(bytes[i] | code << 4);
  }
}

}  // namespace

bool QuantizeBlock(std::span<const float, 256> x, tensor::BlockQ4_K& out) {
  // Beyond what the largest factors reach; also keeps the arithmetic below finite.
  if (LargestMagnitude(x) > kF16Max * kHighestScale * kHighestCode) {
    return false;
  }
  const auto sub_block = [x](size_t j) { return SubBlock(x.data() + kN * j, kN); };
  std::array<Line, kSubBlocks> lines;
  Line most;
  for (size_t j = 0; j < kSubBlocks; ++j) {
    lines[j] = BestLine(sub_block(j));
    most.scale = std::max(most.scale, lines[j].scale);
    most.minimum = std::max(most.minimum, lines[j].minimum);
  }
  out.d = ScaleBitsFor(most.scale, kHighestScale);
  out.dmin = ScaleBitsFor(most.minimum, kHighestScale);
  const float d = F16ToFloat(out.d);
  const float dmin = F16ToFloat(out.dmin);
  if (d > kF16Max || dmin > kF16Max) {
    return false;
  }
  std::array<SixBit, kSubBlocks> pairs;
  for (size_t j = 0; j < kSubBlocks; ++j) {
    pairs[j] = BestSixBit(sub_block(j), lines[j], d, dmin);
    const Line line = {d * pairs[j].scale, dmin * pairs[j].minimum};
    PackCodes(j, NearestCodes(sub_block(j), line), out);
  }
  PackSixBits(pairs, out);
  return true;
}

}  // namespace plimsoll::kernels
