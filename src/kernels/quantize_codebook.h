// Types in which an index into a codebook stands for four or eight magnitudes: which scales, which
// entries. The search over entries is exact.
//
// Of a group of values x with weights w, an entry g at the scale t leaves
//   sum(w x x) - (2 t A - t t B)    with A = sum(w x g), B = sum(w g g)
// of squared error. A and B do not depend on the scale, so all scales share them: what an entry
// takes off is the scale times a line, 2 A - t B, and the best entry's line is the highest there.
#pragma once

#include <bit>
#include <limits>
#include <memory>
#include <optional>

#include "kernels/codebook_search.h"
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
//   kGrid        the codebook, aligned as CodebookSearch wants it
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
  static std::optional<CodebookBlock> Fit(const CodebookSearch& search, const Weighted<256>& v) {
    CodebookFit fit(search, v);
    return fit.Block();
  }

 private:
  static constexpr const auto& kGrid = Type::kGrid;
  static constexpr size_t kWidth = kGrid.size();
  static constexpr size_t kEntries = kGrid[0].size();
  static constexpr size_t kGroups = 256 / kWidth;
  static constexpr size_t kParts = 256 / Type::kPart;
  static constexpr size_t kGroupsOfPart = kGroups / kParts;
  static constexpr float kHighestCode = 15;
  static constexpr float kHighestScale = 2 * kHighestCode + 1;

  // The lines of a group, for every entry: 2 A and B.
  struct Lines {
    alignas(32) std::array<float, kEntries> intercepts;
    alignas(32) std::array<float, kEntries> slopes;
  };

  // Values are taken in units of a power of two that brings the largest near 1: squares of what is
  // tiny or huge would leave the range of floats.
  CodebookFit(const CodebookSearch& search, const Weighted<256>& v)
      : search_(search), lines_(new std::array<Lines, kGroups>) {
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
      Lines& lines = (*lines_)[group];
      std::array<float, kWidth> twice;
      std::transform(products_.data() + kWidth * group, products_.data() + kWidth * (group + 1),
                     twice.begin(), [](float product) { return 2 * product; });
      search_.sum(kGrid[0].data(), kWidth, kEntries, twice.data(), v.w.data() + kWidth * group,
                  {.products = lines.intercepts.data(), .squares = lines.slopes.data()});
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

  [[nodiscard]] uint16_t BestEntry(size_t group, float scale) const {
    const Lines& lines = (*lines_)[group];
    return static_cast<uint16_t>(
        search_.best_entry(lines.intercepts.data(), lines.slopes.data(), kEntries, scale, scale));
  }

  // What the best entries take off the squared error of a sub-block, at each of some scales.
  template <size_t kScales>
  [[nodiscard]] std::array<double, kScales> PartGains(
      size_t part, const std::array<float, kScales>& scales) const {
    std::array<double, kScales> gains = {};
    for (size_t group = part * kGroupsOfPart; group < (part + 1) * kGroupsOfPart; ++group) {
      const Lines& lines = (*lines_)[group];
      std::array<float, kScales> highest;
      search_.highest(lines.intercepts.data(), lines.slopes.data(), kEntries, scales.data(),
                      kScales, highest.data());
      for (size_t i = 0; i < kScales; ++i) {
        gains[i] += scales[i] * highest[i];
      }
    }
    return gains;
  }

  // A and B of the entries that are best at `scale`.
  struct Sums {
    double products = 0;
    double squares = 0;
  };
  [[nodiscard]] Sums BestSums(size_t part, float scale) const {
    Sums sums;
    for (size_t i = 0; i < kGroupsOfPart; ++i) {
      const size_t group = part * kGroupsOfPart + i;
      const uint16_t entry = BestEntry(group, scale);
      sums.products += (*lines_)[group].intercepts[entry] / 2;
      sums.squares += (*lines_)[group].slopes[entry];
    }
    return sums;
  }

  // Tries scales that take the largest magnitude to the codebook's largest or past it, and fits the
  // best to its entries.
  [[nodiscard]] float BestScale(size_t part) const {
    const float* const x = magnitudes_.data() + Type::kPart * part;
    const float largest = *std::max_element(x, x + Type::kPart);
    auto scales = Type::kRatios;
    for (float& scale : scales) {
      scale *= largest / Type::kLargest;
    }
    const auto gains = PartGains(part, scales);
    float best = 0;
    double best_gain = 0;
    for (size_t i = 0; i < gains.size(); ++i) {
      if (gains[i] > best_gain) {
        best_gain = gains[i];
        best = scales[i];
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
    std::array<float, 3> codes = {centre, centre - 1, centre + 1};
    std::array<float, 3> scales;
    for (size_t i = 0; i < codes.size(); ++i) {
      codes[i] = std::clamp(codes[i], 0.0F, kHighestCode);
      scales[i] = unit * (2 * codes[i] + 1);
    }
    const auto gains = PartGains(part, scales);
    const auto best = static_cast<size_t>(std::ranges::max_element(gains) - gains.begin());
    return static_cast<uint8_t>(codes[best]);
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
        const uint16_t entry = BestEntry(group, unit * static_cast<float>(factor));
        block.entries[group] = entry;
        squares += factor * factor * (*lines_)[group].slopes[entry];
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

  const CodebookSearch& search_;
  float largest_ = 0;
  double whole_ = 0;  // the weighted sum of squares
  int exponent_ = 0;
  std::array<float, 256> magnitudes_ = {};
  std::array<float, 256> products_ =
      {};  // weight times magnitude, with the sign that MakeSignsEven left wrong
  std::array<uint8_t, 32> signs_ = {};
  std::unique_ptr<std::array<Lines, kGroups>> lines_;
};

}  // namespace plimsoll::kernels
