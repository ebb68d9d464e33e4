// Types in which a value is a scale times a code less a minimum: which line, which codes.
#pragma once

#include <optional>

#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {

// value = scale * code - minimum; the scale is not negative.
struct Line {
  float scale = 0;
  float minimum = 0;
};

// Lines through kN values whose codes are 0 to kHighestCode. Where minima only ever take away, they
// are not negative.
template <size_t kN, int kHighestCode, bool kMinimaTakeAway>
class LineFit {
 public:
  using Codes = std::array<float, kN>;

  static Codes NearestCodes(const Weighted<kN>& v, const Line& line) {
    Codes codes = {};
    if (line.scale > 0) {
      for (size_t i = 0; i < kN; ++i) {
        codes[i] = NearestCode((v.x[i] + line.minimum) / line.scale, 0, kHighestCode);
      }
    }
    return codes;
  }

  static double SquaredError(const Weighted<kN>& v, const Line& line, const Codes& codes) {
    return Sum<kN>([&](size_t i) {
      const double difference = double{line.scale} * codes[i] - line.minimum - v.x[i];
      return v.w[i] * difference * difference;
    });
  }

  // Tries lines on which the range of the values spans a little less or more than all codes, each
  // fitted to its codes.
  static Line Best(const Weighted<kN>& v) {
    const auto [least, most] = std::ranges::minmax(v.x);
    const float bottom = kMinimaTakeAway ? std::min(least, 0.0F) : least;
    Line best = {0, -bottom};  // right when all values are equal, and not positive or of any sign
    double best_error = SquaredError(v, best, {});
    for (const float steps : kSteps) {
      if (best_error == 0) {
        break;
      }
      Line line = {(most - bottom) / (kHighestCode + kStep * steps), -bottom};
      for (int fit = 0; fit < kFits; ++fit) {
        line = Fitted(v, NearestCodes(v, line));
      }
      const double error = SquaredError(v, line, NearestCodes(v, line));
      if (error < best_error) {
        best_error = error;
        best = line;
      }
    }
    return best;
  }

 private:
  // The exact one first, so that values which lie on a line already keep it.
  static constexpr std::array<float, 13> kSteps = {0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6};
  static constexpr float kStep = (kHighestCode + 9) / 96.0F;
  // Few codes move far when their line does.
  static constexpr int kFits = kHighestCode < 8 ? 3 : 1;

  // The line of least squares through the values at their codes.
  static Line Fitted(const Weighted<kN>& v, const Codes& codes) {
    const double weights = Sum<kN>([&](size_t i) { return v.w[i]; });
    const double code_sum = Sum<kN>([&](size_t i) { return double{v.w[i]} * codes[i]; });
    const double squares = Sum<kN>([&](size_t i) { return double{v.w[i]} * codes[i] * codes[i]; });
    const double value_sum = Sum<kN>([&](size_t i) { return double{v.w[i]} * v.x[i]; });
    const double products = Sum<kN>([&](size_t i) { return double{v.w[i]} * codes[i] * v.x[i]; });
    const double determinant = weights * squares - code_sum * code_sum;
    if (squares == 0) {
      return {};
    }
    // Equal codes fix no offset.
    const bool is_fixed = determinant > 1e-9 * weights * squares;
    const double offset = is_fixed ? (squares * value_sum - code_sum * products) / determinant : 0;
    if (!is_fixed || (kMinimaTakeAway && offset >= 0)) {
      return {static_cast<float>(std::max(0.0, products / squares)), 0};
    }
    const double scale = (weights * products - code_sum * value_sum) / determinant;
    return {static_cast<float>(std::max(0.0, scale)), static_cast<float>(-offset)};
  }
};

// 256 values in sub-blocks, each with two small integers, under two F16 factors: a value is
// d * scale * code - dmin * minimum.
template <size_t kSubBlocks>
struct LineSuperBlock {
  uint16_t d = 0;
  uint16_t dmin = 0;
  std::array<uint8_t, kSubBlocks> scales = {};
  std::array<uint8_t, kSubBlocks> minima = {};
  std::array<uint8_t, 256> codes = {};
};

template <size_t kSubBlocks, int kHighestCode, int kHighestScale>
class LineSuperBlockFit {
 public:
  // Nothing when no F16 is large enough.
  static std::optional<LineSuperBlock<kSubBlocks>> Fit(const Weighted<256>& v) {
    // Beyond what the largest factors reach; also keeps the arithmetic below finite.
    if (LargestMagnitude(v.x) > kF16Max * kHighestScale * kHighestCode) {
      return std::nullopt;
    }
    std::array<Line, kSubBlocks> lines;
    Line most;
    for (size_t j = 0; j < kSubBlocks; ++j) {
      lines[j] = Lines::Best(v.template Part<kN>(j));
      most.scale = std::max(most.scale, lines[j].scale);
      most.minimum = std::max(most.minimum, lines[j].minimum);
    }
    LineSuperBlock<kSubBlocks> block;
    block.d = ScaleBitsFor(most.scale, kHighestScale);
    block.dmin = ScaleBitsFor(most.minimum, kHighestScale);
    const Line unit = {F16ToFloat(block.d), F16ToFloat(block.dmin)};
    if (unit.scale > kF16Max || unit.minimum > kF16Max) {
      return std::nullopt;
    }
    for (size_t j = 0; j < kSubBlocks; ++j) {
      const Weighted<kN> part = v.template Part<kN>(j);
      const Line pair = BestPair(part, lines[j], unit);
      block.scales[j] = static_cast<uint8_t>(pair.scale);
      block.minima[j] = static_cast<uint8_t>(pair.minimum);
      const auto codes = Lines::NearestCodes(part, Times(unit, pair));
      std::ranges::transform(codes, block.codes.begin() + kN * j,
                             [](float code) { return static_cast<uint8_t>(code); });
    }
    return block;
  }

 private:
  static constexpr size_t kN = 256 / kSubBlocks;
  using Lines = LineFit<kN, kHighestCode, true>;

  static Line Times(const Line& unit, const Line& pair) {
    return {unit.scale * pair.scale, unit.minimum * pair.minimum};
  }

  // The neighbour of the rounded pair on which the values lie best.
  static Line BestPair(const Weighted<kN>& v, const Line& line, const Line& unit) {
    const auto rounded = [](float value, float one) {
      return one == 0 ? 0 : NearestCode(value / one, 0, kHighestScale);
    };
    const Line centre = {rounded(line.scale, unit.scale), rounded(line.minimum, unit.minimum)};
    Line best = centre;
    double best_error = -1;  // none yet
    constexpr std::array<float, 3> kSteps = {0, -1, 1};
    for (const float scale_step : kSteps) {
      for (const float minimum_step : kSteps) {
        const Line tried = {std::clamp(centre.scale + scale_step, 0.0F, float{kHighestScale}),
                            std::clamp(centre.minimum + minimum_step, 0.0F, float{kHighestScale})};
        const Line tried_line = Times(unit, tried);
        const double error = Lines::SquaredError(v, tried_line, Lines::NearestCodes(v, tried_line));
        if (best_error < 0 || error < best_error) {
          best_error = error;
          best = tried;
        }
      }
    }
    return best;
  }
};

}  // namespace plimsoll::kernels
