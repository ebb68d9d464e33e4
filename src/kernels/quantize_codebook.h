// Types in which an index into a codebook stands for four or eight magnitudes: which scales, which
// entries. The search over entries is exact.
//
// Of a group of values x with weights w, an entry g at the scale t leaves
//   sum(w x x) - (2 t A - t t B)    with A = sum(w x g), B = sum(w g g)
// of squared error. A and B do not depend on the scale, so all scales share them.
#pragma once

#include <bit>
#include <limits>
#include <memory>
#include <optional>

#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {

// By position and entry: what an entry stands for at that position.
template <size_t kWidth, size_t kEntries>
using CodebookGrid = std::array<std::array<float, kEntries>, kWidth>;

template <size_t kWidth, size_t kEntries, class ValueOfDigit>
[[nodiscard]] constexpr CodebookGrid<kWidth, kEntries> MakeGrid(
    const std::array<uint16_t, kEntries + 1>& codebook, ValueOfDigit value) {
  constexpr size_t kBits = 16 / kWidth;
  CodebookGrid<kWidth, kEntries> grid = {};
  for (size_t i = 0; i < kWidth; ++i) {
    for (size_t e = 0; e < kEntries; ++e) {
      const unsigned digit = codebook[e] >> (kBits * i) & ((1U << kBits) - 1);
      grid[i][e] = static_cast<float>(value(digit));
    }
  }
  return grid;
}

// What a codebook type is made of. Codes of sub-block scales, s, stand for 2 s + 1 in steps of the
// block's factor times kStep.
//   kGrid        the codebook
//   kPart        values of a sub-block, which share a scale
//   kEvenSigns   of eight values seven signs are stored: an even number of them is negative
//   kStep        of sub-block scales
//   kLargest     magnitude of the codebook
struct CodebookBlock {
  uint16_t d = 0;
  std::array<uint8_t, 16> scales = {};    // codes, of the sub-blocks
  std::array<uint16_t, 64> entries = {};  // of the groups
  std::array<uint8_t, 32> signs = {};     // of eight values each, bit i for the i-th
};

template <class Type>
class CodebookFit {
 public:
  // Nothing when no F16 is large enough.
  static std::optional<CodebookBlock> Fit(const Weighted<256>& v) {
    CodebookFit fit(v);
    return fit.Block();
  }

 private:
  static constexpr const auto& kGrid = Type::kGrid;
  static constexpr size_t kWidth = kGrid.size();
  static constexpr size_t kEntries = kGrid[0].size();
  static constexpr size_t kGroups = 256 / kWidth;
  static constexpr size_t kParts = 256 / Type::kPart;
  static constexpr size_t kGroupsOfPart = kGroups / kParts;
  // Entries that are gone through side by side.
  static constexpr size_t kLanes = 64;
  using LaneGains = std::array<float, kLanes>;
  static constexpr float kHighestCode = 15;
  static constexpr float kHighestScale = 2 * kHighestCode + 1;

  // A and B of a group, for every entry.
  struct Matches {
    std::array<float, kEntries> products;
    std::array<float, kEntries> squares;
  };

  // Values are taken in units of a power of two that brings the largest near 1: squares of what is
  // tiny or huge would leave the range of floats.
  explicit CodebookFit(const Weighted<256>& v) : matches_(new std::array<Matches, kGroups>) {
    largest_ = LargestMagnitude(v.x);
    (void)std::frexp(largest_, &exponent_);
    for (size_t i = 0; i < 256; ++i) {
      magnitudes_[i] = std::fabs(std::ldexp(v.x[i], -exponent_));
      products_[i] = v.w[i] * magnitudes_[i];
      whole_ += double{products_[i]} * magnitudes_[i];
      if (std::signbit(v.x[i])) {
        signs_[i / 8] = static_cast<uint8_t>(signs_[i / 8] | 1U << (i % 8));
      }
    }
    if (Type::kEvenSigns) {
      for (size_t eight = 0; eight < 32; ++eight) {
        MakeSignsEven(eight);
      }
    }
    for (size_t group = 0; group < kGroups; ++group) {
      Match(products_.data() + kWidth * group, v.w.data() + kWidth * group, (*matches_)[group]);
    }
  }

  // The sign that costs least, as if all magnitudes were the same.
  void MakeSignsEven(size_t eight) {
    if (std::popcount(signs_[eight]) % 2 == 0) {
      return;
    }
    float* const of_eight = products_.data() + 8 * eight;
    float* const least = std::min_element(of_eight, of_eight + 8);
    *least = -*least;
    signs_[eight] = static_cast<uint8_t>(signs_[eight] ^ 1U << (least - of_eight));
  }

  static void Match(const float* products, const float* weights, Matches& out) {
    for (size_t e = 0; e < kEntries; e += kLanes) {
      std::array<float, kLanes> a = {};
      std::array<float, kLanes> b = {};
      for (size_t i = 0; i < kWidth; ++i) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
          const float g = kGrid[i][e + lane];
          a[lane] += products[i] * g;
          b[lane] += weights[i] * (g * g);
        }
      }
      std::ranges::copy(a, out.products.begin() + e);
      std::ranges::copy(b, out.squares.begin() + e);
    }
  }

  static float Gain(const Matches& matches, size_t entry, float scale) {
    return scale * (2 * matches.products[entry] - scale * matches.squares[entry]);
  }

  // What the best entry takes off the squared error, of the entries e that have the same e %
  // kLanes.
  static LaneGains BestGains(const Matches& matches, float scale) {
    LaneGains best;
    best.fill(-std::numeric_limits<float>::infinity());
    for (size_t e = 0; e < kEntries; e += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const float gain = Gain(matches, e + lane, scale);
        best[lane] = gain > best[lane] ? gain : best[lane];
      }
    }
    return best;
  }

  static uint16_t BestEntry(const Matches& matches, float scale) {
    const LaneGains gains = BestGains(matches, scale);
    const auto best = std::ranges::max_element(gains);
    auto e = static_cast<size_t>(best - gains.begin());
    while (e + kLanes < kEntries && Gain(matches, e, scale) != *best) {
      e += kLanes;
    }
    return static_cast<uint16_t>(e);
  }

  [[nodiscard]] double PartGain(size_t part, float scale) const {
    double gain = 0;
    for (size_t i = 0; i < kGroupsOfPart; ++i) {
      gain += std::ranges::max(BestGains((*matches_)[part * kGroupsOfPart + i], scale));
    }
    return gain;
  }

  // A and B of the entries that are best at `scale`.
  struct Sums {
    double products = 0;
    double squares = 0;
  };
  [[nodiscard]] Sums BestSums(size_t part, float scale) const {
    Sums sums;
    for (size_t i = 0; i < kGroupsOfPart; ++i) {
      const Matches& matches = (*matches_)[part * kGroupsOfPart + i];
      const uint16_t entry = BestEntry(matches, scale);
      sums.products += matches.products[entry];
      sums.squares += matches.squares[entry];
    }
    return sums;
  }

  // Tries scales that take the largest magnitude to the codebook's largest or past it, and fits the
  // best to its entries.
  [[nodiscard]] float BestScale(size_t part) const {
    const float* const x = magnitudes_.data() + Type::kPart * part;
    const float largest = *std::max_element(x, x + Type::kPart);
    float best = 0;
    double best_gain = 0;
    for (const float ratio : Type::kRatios) {
      const float scale = largest / Type::kLargest * ratio;
      const double gain = PartGain(part, scale);
      if (gain > best_gain) {
        best_gain = gain;
        best = scale;
      }
    }
    if (best == 0) {
      return 0;
    }
    const Sums sums = BestSums(part, best);
    return std::max(0.0F, static_cast<float>(sums.products / sums.squares));
  }

  // The neighbour of the rounded scale that takes most off the squared error.
  [[nodiscard]] uint8_t BestCode(size_t part, float scale, float unit) const {
    const float centre = NearestCode((scale / unit - 1) / 2, 0, kHighestCode);
    float best = centre;
    double best_gain = -std::numeric_limits<double>::infinity();
    constexpr std::array<float, 3> kSteps = {0, -1, 1};
    for (const float step : kSteps) {
      const float code = std::clamp(centre + step, 0.0F, kHighestCode);
      const double gain = PartGain(part, unit * (2 * code + 1));
      if (gain > best_gain) {
        best_gain = gain;
        best = code;
      }
    }
    return static_cast<uint8_t>(best);
  }

  // The block's factor in units of the values as they were given.
  [[nodiscard]] uint16_t FactorBits(double unit) const {
    return ScaleBits(std::ldexp(unit / Type::kStep, exponent_));
  }
  // What a step of sub-block scales is then, in units of the values as they are here.
  [[nodiscard]] float Unit(uint16_t d) const {
    return std::ldexp(F16ToFloat(d) * Type::kStep, -exponent_);
  }

  [[nodiscard]] std::optional<CodebookBlock> Block() {
    CodebookBlock block;
    std::array<float, kParts> scales;
    for (size_t part = 0; part < kParts; ++part) {
      scales[part] = BestScale(part);
    }
    const float highest = *std::ranges::max_element(scales);
    if (largest_ == 0 || highest == 0) {
      return block;
    }
    block.d = FactorBits(double{highest} / kHighestScale);
    if (F16ToFloat(block.d) > kF16Max) {
      return std::nullopt;
    }
    block.signs = signs_;
    const float unit = Unit(block.d);
    double squares = 0;
    for (size_t part = 0; part < kParts; ++part) {
      block.scales[part] = BestCode(part, scales[part], unit);
      const double factor = 2.0 * block.scales[part] + 1;
      for (size_t i = 0; i < kGroupsOfPart; ++i) {
        const size_t group = part * kGroupsOfPart + i;
        const Matches& matches = (*matches_)[group];
        const uint16_t entry = BestEntry(matches, unit * static_cast<float>(factor));
        block.entries[group] = entry;
        squares += factor * factor * matches.squares[entry];
      }
    }
    block.d = KeepingFactor(block.d, squares);
    return block;
  }

  // Least squares would shrink what is this coarse, and with it all that a matrix says: the factor
  // for the entries and scales that were chosen keeps the sum of squares instead, if F16 has it.
  [[nodiscard]] uint16_t KeepingFactor(uint16_t d, double squares) const {
    const uint16_t kept = FactorBits(std::sqrt(whole_ / squares));
    return F16ToFloat(kept) <= kF16Max ? kept : d;
  }

  float largest_ = 0;
  double whole_ = 0;  // the weighted sum of squares
  int exponent_ = 0;
  std::array<float, 256> magnitudes_ = {};
  std::array<float, 256> products_ =
      {};  // weight times magnitude, with the sign that MakeSignsEven left wrong
  std::array<uint8_t, 32> signs_ = {};
  std::unique_ptr<std::array<Matches, kGroups>> matches_;
};

}  // namespace plimsoll::kernels
