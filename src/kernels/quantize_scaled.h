// Types in which a value is a scale times one of a fixed set of codes: which scale, which codes.
#pragma once

#include <optional>

#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {

// A set of codes has
//   Nearest(x)  the code nearest to x, as a float
//   kLevels     where among the codes the value of largest magnitude may lie: the outermost code
//               first, so that values which are codes times a scale already keep it

// The integers of a range that reaches one further down than up.
template <int kLow, int kHigh>
struct IntegerCodes {
  static constexpr float kLargest = -kLow;

  static constexpr std::array<float, 17> kLevels = [] {
    // Few codes are worth a search that reaches far: what the largest value loses the others gain.
    const float step = (1.0F - static_cast<float>(kLow) / 16) / 8;
    std::array<float, 17> levels = {kLow};
    for (size_t i = 1; i < levels.size(); ++i) {
      const auto distance = step * static_cast<float>((i + 1) / 2);
      levels[i] = kLow + (i % 2 == 0 ? distance : -distance);
    }
    return levels;
  }();

  static float Nearest(float x) { return NearestCode(x, kLow, kHigh); }
};

// The integers of a table of sixteen.
template <const std::array<int8_t, 16>& kTable>
class TableCodes {
 public:
  static constexpr int kLow = *std::ranges::min_element(kTable);
  static constexpr int kHigh = *std::ranges::max_element(kTable);
  static constexpr float kLargest = std::max(-kLow, kHigh);

  static constexpr std::array<float, 26> kLevels = [] {
    std::array<float, 26> levels = {};
    for (size_t i = 0; i < levels.size() / 2; ++i) {
      const auto distance = 0.03F * static_cast<float>((i + 1) / 2);
      const float ratio = 1 + (i % 2 == 0 ? distance : -distance);
      levels[2 * i] = kLow * ratio;
      levels[2 * i + 1] = kHigh * ratio;
    }
    return levels;
  }();

  static float Nearest(float x) {
    const float inside = std::min(std::max(x, float{kLow}), float{kHigh});
    return kNearest[static_cast<size_t>(2 * (inside - kLow))];
  }

  // Of a code that Nearest gave.
  static uint8_t Index(float code) {
    return static_cast<uint8_t>(std::ranges::find(kTable, static_cast<int8_t>(code)) -
                                kTable.begin());
  }

 private:
  // Half-way between two integers lies a multiple of a half, so within a half step the nearest code
  // is one and the same.
  static constexpr auto kNearest = [] {
    std::array<float, size_t{2} * (kHigh - kLow) + 1> nearest = {};
    for (size_t i = 0; i < nearest.size(); ++i) {
      const double middle = kLow + 0.5 * static_cast<double>(i) + 0.25;
      double least = kHigh - kLow;
      for (const int8_t code : kTable) {
        const double distance = code < middle ? middle - code : code - middle;
        if (distance < least) {
          least = distance;
          nearest[i] = code;
        }
      }
    }
    return nearest;
  }();
};

template <class Set, size_t kN>
[[nodiscard]] std::array<float, kN> NearestCodes(const Weighted<kN>& v, float scale) {
  std::array<float, kN> codes;
  for (size_t i = 0; i < kN; ++i) {
    codes[i] = Set::Nearest(scale == 0 ? 0 : v.x[i] / scale);
  }
  return codes;
}

template <size_t kN>
[[nodiscard]] double SquaredError(const Weighted<kN>& v, double scale,
                                  const std::array<float, kN>& codes) {
  return Sum<kN>([&](size_t i) {
    const double difference = v.x[i] - scale * codes[i];
    return v.w[i] * difference * difference;
  });
}

// The scale that makes the squared error of its codes least; 0 when nothing fixes it.
template <size_t kN>
[[nodiscard]] double FittedScale(const Weighted<kN>& v, const std::array<float, kN>& codes) {
  const double products = Sum<kN>([&](size_t i) { return double{v.w[i]} * codes[i] * v.x[i]; });
  const double squares = Sum<kN>([&](size_t i) { return double{v.w[i]} * codes[i] * codes[i]; });
  return squares == 0 ? 0 : products / squares;
}

// The value of largest magnitude need not get the code of largest magnitude: a little to either
// side of that the others may gain more than it loses. Tries such scales, each fitted to its codes.
template <class Set, size_t kN>
[[nodiscard]] float BestScale(const Weighted<kN>& v) {
  const float largest = SignedLargest(v.x);
  float best = 0;
  double best_error = Sum<kN>([&](size_t i) { return double{v.w[i]} * v.x[i] * v.x[i]; });
  for (const float level : Set::kLevels) {
    if (best_error == 0) {
      break;
    }
    const auto fitted = static_cast<float>(FittedScale(v, NearestCodes<Set>(v, largest / level)));
    const double error = SquaredError(v, fitted, NearestCodes<Set>(v, fitted));
    if (error < best_error) {
      best_error = error;
      best = fitted;
    }
  }
  return best;
}

// 32 values under an F16 scale.
struct ScaledBlock {
  uint16_t d = 0;
  std::array<float, 32> codes = {};
};

// Nothing when no F16 is large enough.
template <class Set>
[[nodiscard]] std::optional<ScaledBlock> FitBlock(const Weighted<32>& v) {
  const double largest = SignedLargest(v.x);
  ScaledBlock best = {0, NearestCodes<Set>(v, 0)};
  double best_error = -1;  // none yet
  for (const double level : Set::kLevels) {
    if (largest == 0 || best_error == 0) {
      break;
    }
    const float guess = F16ToFloat(ScaleBits(largest / level));
    const double fitted = FittedScale(v, NearestCodes<Set>(v, guess));
    const uint16_t bits = ScaleBits(fitted == 0 ? double{guess} : fitted);
    const float scale = F16ToFloat(bits);
    if (std::fabs(scale) > kF16Max) {
      continue;
    }
    const auto codes = NearestCodes<Set>(v, scale);
    const double error = SquaredError(v, scale, codes);
    if (best_error < 0 || error < best_error) {
      best_error = error;
      best = {bits, codes};
    }
  }
  return largest == 0 || best_error >= 0 ? std::optional(best) : std::nullopt;
}

// 256 values in sub-blocks, each with a small integer as its scale, under one F16 factor: a value
// is d * scale * code.
template <size_t kSubBlocks>
struct ScaledSuperBlock {
  uint16_t d = 0;
  std::array<float, kSubBlocks> scales = {};
  std::array<float, 256> codes = {};
};

// Sub-block scales are the integers of `Scales`, codes those of `Set`.
template <class Scales, class Set, size_t kSubBlocks>
class SuperBlockFit {
 public:
  // Nothing when no F16 is large enough.
  static std::optional<ScaledSuperBlock<kSubBlocks>> Fit(const Weighted<256>& v) {
    // Beyond what the largest factor reaches; also keeps the arithmetic below finite.
    if (LargestMagnitude(v.x) > kF16Max * Scales::kLargest * Set::kLargest) {
      return std::nullopt;
    }
    std::array<float, kSubBlocks> scales;
    for (size_t j = 0; j < kSubBlocks; ++j) {
      scales[j] = BestScale<Set>(v.template Part<kN>(j));
    }
    // The lowest scale is the one that reaches furthest.
    const float largest = SignedLargest(scales);
    const uint16_t sign = largest > 0 ? 0x8000U : 0U;
    const auto d = static_cast<uint16_t>(ScaleBitsFor(std::fabs(largest), Scales::kLargest) | sign);
    if (std::fabs(F16ToFloat(d)) > kF16Max) {
      return std::nullopt;
    }
    ScaledSuperBlock<kSubBlocks> block = {.d = d, .scales = {}, .codes = {}};
    for (size_t j = 0; j < kSubBlocks; ++j) {
      block.scales[j] = BestScaleCode(v.template Part<kN>(j), scales[j], F16ToFloat(d));
    }
    SetCodes(v, block);
    return Refitted(v, block);
  }

 private:
  static constexpr size_t kN = 256 / kSubBlocks;

  // The neighbour of the rounded scale on which the values lie best.
  static float BestScaleCode(const Weighted<kN>& v, float scale, float d) {
    const float centre = Scales::Nearest(d == 0 ? 0 : scale / d);
    float best = centre;
    double best_error = -1;  // none yet
    constexpr std::array<float, 3> kSteps = {0, -1, 1};
    for (const float step : kSteps) {
      const float tried = Scales::Nearest(centre + step);
      const double error = SquaredError(v, double{d} * tried, NearestCodes<Set>(v, d * tried));
      if (best_error < 0 || error < best_error) {
        best_error = error;
        best = tried;
      }
    }
    return best;
  }

  static void SetCodes(const Weighted<256>& v, ScaledSuperBlock<kSubBlocks>& block) {
    for (size_t j = 0; j < kSubBlocks; ++j) {
      const float scale = F16ToFloat(block.d) * block.scales[j];
      const auto codes = NearestCodes<Set>(v.template Part<kN>(j), scale);
      std::ranges::copy(codes, block.codes.begin() + kN * j);
    }
  }

  static std::array<float, 256> ScaledCodes(const ScaledSuperBlock<kSubBlocks>& block) {
    std::array<float, 256> scaled = block.codes;
    for (size_t i = 0; i < scaled.size(); ++i) {
      scaled[i] *= block.scales[i / kN];
    }
    return scaled;
  }

  // With the factor that suits all sub-blocks together, if that is better.
  static ScaledSuperBlock<kSubBlocks> Refitted(const Weighted<256>& v,
                                               const ScaledSuperBlock<kSubBlocks>& block) {
    const auto scaled = ScaledCodes(block);
    ScaledSuperBlock<kSubBlocks> refitted = block;
    refitted.d = ScaleBits(FittedScale(v, scaled));
    if (refitted.d == block.d || !(std::fabs(F16ToFloat(refitted.d)) <= kF16Max)) {
      return block;
    }
    SetCodes(v, refitted);
    const double before = SquaredError(v, double{F16ToFloat(block.d)}, scaled);
    const double after = SquaredError(v, double{F16ToFloat(refitted.d)}, ScaledCodes(refitted));
    return after < before ? refitted : block;
  }
};

}  // namespace plimsoll::kernels
