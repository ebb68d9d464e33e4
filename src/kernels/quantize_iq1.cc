// IQ1_S and IQ1_M: an index stands for eight weights g of -1, 0 or 1, to all of which an eighth is
// added, or from all of which it is taken: a value is d / 8 * (2 s + 1) * (8 g + 1), or 8 g - 1.
//
// The search over entries is exact, as in quantize_codebook.h; but a codebook of 2,048 entries is
// gone through for scales near a first guess only, one that any g of -1, 0 and 1 would suit.
#include <cstring>
#include <numeric>
#include <optional>

#include "kernels/codebooks.h"
#include "kernels/quantize_codebook.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kEntries = 2048;
alignas(32) constexpr auto kGrid = MakeGrid<8, kEntries>(kIQ1Codebook, [](unsigned digit) {
  return static_cast<int>(digit) - 1;
});
constexpr float kHighestCode = 7;
constexpr float kHighestScale = 2 * kHighestCode + 1;

// Half of what an entry takes off the squared error at a scale of the eighths, but for what all
// entries have in common, is a line: 8 A less the scale times 32 B + 8 C, or less 8 C where 8 g - 1
// is meant. A, B and C are the sums of w x g, w g g and w g over a group.
struct Lines {
  alignas(32) std::array<float, kEntries> intercepts;
  alignas(32) std::array<float, kEntries> slopes_more;
  alignas(32) std::array<float, kEntries> slopes_less;
  float product_sum;  // w x
  float weight_sum;   // w

  [[nodiscard]] const float* slopes(float delta) const {
    return delta < 0 ? slopes_less.data() : slopes_more.data();
  }
};

void MakeLines(const CodebookSearch& search, const Weighted<8>& v, Lines& out) {
  std::array<float, 8> products;
  std::array<float, 8> products_8;
  std::array<float, 8> weights_8;
  for (size_t i = 0; i < 8; ++i) {
    products[i] = v.w[i] * v.x[i];
    products_8[i] = 8 * products[i];
    weights_8[i] = 8 * v.w[i];
  }
  search.sum(kGrid[0].data(), 8, kEntries, products_8.data(), weights_8.data(),
             {.products = out.intercepts.data(),
              .squares = out.slopes_more.data(),
              .weights = out.slopes_less.data()});
  for (size_t e = 0; e < kEntries; ++e) {
    const float b = 4 * out.slopes_more[e];
    const float c = out.slopes_less[e];
    out.slopes_more[e] = b + c;
    out.slopes_less[e] = b - c;
  }
  out.product_sum = static_cast<float>(Sum<8>([&](size_t i) { return products[i]; }));
  out.weight_sum = static_cast<float>(Sum<8>([&](size_t i) { return v.w[i]; }));
}

constexpr size_t kCodes = 3;  // of scales, that are tried
using Scales = std::array<float, kCodes>;

// What the best entry takes off the squared error, at each scale.
std::array<double, kCodes> Gains(const CodebookSearch& search, const Lines& lines,
                                 const Scales& scales, float delta) {
  Scales highest;
  search.highest(lines.intercepts.data(), lines.slopes(delta), kEntries, scales.data(), kCodes,
                 highest.data());
  std::array<double, kCodes> gains;
  for (size_t i = 0; i < kCodes; ++i) {
    const double half = highest[i];
    gains[i] = scales[i] * (2 * (half + double{delta} * lines.product_sum) -
                            double{scales[i]} * lines.weight_sum);
  }
  return gains;
}

// The deltas that are best for the groups of a sub-block at a scale, and what they take off. IQ1_S
// has one for all groups, IQ1_M one for each.
template <size_t kGroups>
struct Deltas {
  double gain = 0;
  std::array<float, kGroups> of = {};
};

template <size_t kGroups, bool kOneDelta>
Deltas<kGroups> BestDeltas(const std::array<double, kGroups>& more,
                           const std::array<double, kGroups>& less) {
  const bool all_less = std::accumulate(less.begin(), less.end(), 0.0) >
                        std::accumulate(more.begin(), more.end(), 0.0);
  Deltas<kGroups> best;
  for (size_t i = 0; i < kGroups; ++i) {
    const bool is_less = kOneDelta ? all_less : less[i] > more[i];
    best.gain += is_less ? less[i] : more[i];
    best.of[i] = is_less ? -1 : 1;
  }
  return best;
}

// The scale of the eighths at which the values are nearest to -1, 0 and 1 with a delta, codebook or
// not.
template <size_t kN>
float FreeScale(const Weighted<kN>& v) {
  constexpr std::array<float, 10> kRatios = {0.35F, 0.42F, 0.5F, 0.58F, 0.66F,
                                             0.74F, 0.82F, 0.9F, 1,     1.1F};
  const float largest = LargestMagnitude(v.x);
  float best = 0;
  double best_gain = 0;
  for (const float ratio : kRatios) {
    for (const float delta : {0.125F, -0.125F}) {
      const float guess = largest * ratio;
      double products = 0;
      double squares = 0;
      for (size_t i = 0; i < kN; ++i) {
        const double code = guess == 0 ? 0 : NearestCode(v.x[i] / guess - delta, -1, 1) + delta;
        products += v.w[i] * code * v.x[i];
        squares += v.w[i] * code * code;
      }
      if (products > 0 && products * products > best_gain * squares) {
        best_gain = products * products / squares;
        best = static_cast<float>(products / squares);
      }
    }
  }
  return best / 8;
}

struct IQ1Block {
  uint16_t d = 0;
  std::array<uint8_t, 16> scales = {};    // of the sub-blocks
  std::array<uint16_t, 32> entries = {};  // of the groups of eight
  std::array<bool, 32> is_less = {};
};

template <size_t kParts, bool kOneDelta>
class IQ1Fit {
 public:
  // Nothing when no F16 is large enough.
  static std::optional<IQ1Block> Fit(const CodebookSearch& search, const Weighted<256>& given) {
    IQ1Block block;
    const float largest = LargestMagnitude(given.x);
    if (largest == 0) {
      return block;
    }
    // In units of a power of two that brings the largest near 1, as in quantize_codebook.h.
    int exponent = 0;
    (void)std::frexp(largest, &exponent);
    std::array<float, 256> x;
    std::ranges::transform(given.x, x.begin(),
                           [exponent](float value) { return std::ldexp(value, -exponent); });
    const Weighted<256> v = {x, given.w};
    std::array<float, kParts> scales;
    for (size_t part = 0; part < kParts; ++part) {
      scales[part] = FreeScale(v.template Part<kN>(part));
    }
    const double highest = *std::ranges::max_element(scales);
    // Of the block's factor an eighth is a step of scales.
    block.d = ScaleBits(std::ldexp(8 * highest / kHighestScale, exponent));
    if (F16ToFloat(block.d) > kF16Max) {
      return std::nullopt;
    }
    const float unit = std::ldexp(F16ToFloat(block.d) / 8, -exponent);
    double squares = 0;
    for (size_t part = 0; part < kParts; ++part) {
      FitPart(search, v, part, scales[part], unit, block);
      squares += SquaresOf(v, part, block);
    }
    // Least squares would shrink what is this coarse, and with it all that a matrix says: the
    // factor keeps the sum of squares instead.
    const double whole = Sum<256>([&](size_t i) { return double{v.w[i]} * v.x[i] * v.x[i]; });
    const uint16_t kept = ScaleBits(std::ldexp(8 * std::sqrt(whole / squares), exponent));
    if (F16ToFloat(kept) <= kF16Max) {
      block.d = kept;
    }
    return block;
  }

 private:
  static constexpr size_t kN = 256 / kParts;
  static constexpr size_t kGroups = kN / 8;

  static void FitPart(const CodebookSearch& search, const Weighted<256>& v, size_t part,
                      float scale, float unit, IQ1Block& block) {
    const float centre = NearestCode((scale / unit - 1) / 2, 0, kHighestCode);
    Scales codes = {centre, centre - 1, centre + 1};
    Scales scales;
    for (size_t i = 0; i < kCodes; ++i) {
      codes[i] = std::clamp(codes[i], 0.0F, kHighestCode);
      scales[i] = unit * (2 * codes[i] + 1);
    }
    std::array<Lines, kGroups> lines;
    std::array<std::array<double, kGroups>, kCodes> more;
    std::array<std::array<double, kGroups>, kCodes> less;
    for (size_t group = 0; group < kGroups; ++group) {
      MakeLines(search, v.template Part<8>(part * kGroups + group), lines[group]);
      const auto gains_more = Gains(search, lines[group], scales, 1);
      const auto gains_less = Gains(search, lines[group], scales, -1);
      for (size_t i = 0; i < kCodes; ++i) {
        more[i][group] = gains_more[i];
        less[i][group] = gains_less[i];
      }
    }
    Deltas<kGroups> best = {.gain = -std::numeric_limits<double>::infinity(), .of = {}};
    size_t best_code = 0;
    for (size_t i = 0; i < kCodes; ++i) {
      const auto deltas = BestDeltas<kGroups, kOneDelta>(more[i], less[i]);
      if (deltas.gain > best.gain) {
        best = deltas;
        best_code = i;
      }
    }
    block.scales[part] = static_cast<uint8_t>(codes[best_code]);
    for (size_t group = 0; group < kGroups; ++group) {
      const Lines& of_group = lines[group];
      block.entries[kGroups * part + group] = static_cast<uint16_t>(
          search.best_entry(of_group.intercepts.data(), of_group.slopes(best.of[group]), kEntries,
                            scales[best_code], 1));
      block.is_less[kGroups * part + group] = best.of[group] < 0;
    }
  }

  // The weighted sum of squares of what a sub-block's choices stand for.
  static double SquaresOf(const Weighted<256>& v, size_t part, const IQ1Block& block) {
    const double factor = 2.0 * block.scales[part] + 1;
    return Sum<kN>([&](size_t j) {
      const size_t i = kN * part + j;
      const double g = kGrid[i % 8][block.entries[i / 8]];
      const double value = factor * (8 * g + (block.is_less[i / 8] ? -1 : 1));
      return v.w[i] * value * value;
    });
  }
};

void SetWord(uint8_t* p, unsigned word) {
  const auto bits = static_cast<uint16_t>(word);
  std::memcpy(p, &bits, sizeof bits);
}

}  // namespace

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search, tensor::BlockIQ1_S& out) {
  const auto fit = IQ1Fit<8, true>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  for (size_t j = 0; j < 8; ++j) {
    unsigned word = unsigned{fit->scales[j]} << 12 | (fit->is_less[4 * j] ? 1U : 0U) << 15;
    for (size_t i = 0; i < 4; ++i) {
      const unsigned entry = fit->entries[4 * j + i];
      out.qs[4 * j + i] = static_cast<uint8_t>(entry);
      word |= entry >> 8 << (3 * i);
    }
    SetWord(out.qh + 2 * j, word);
  }
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search, tensor::BlockIQ1_M& out) {
  const auto fit = IQ1Fit<16, false>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out = {};
  for (size_t i = 0; i < 32; ++i) {
    const unsigned nibble = fit->entries[i] >> 8 | (fit->is_less[i] ? 8U : 0U);
    out.qs[i] = static_cast<uint8_t>(fit->entries[i]);
    out.qh[i / 2] = static_cast<uint8_t>(out.qh[i / 2] | nibble << (4 * (i % 2)));
  }
  for (size_t j = 0; j < 4; ++j) {
    unsigned word = (fit->d >> (4 * j) & 15U) << 12;
    for (size_t i = 0; i < 4; ++i) {
      word |= static_cast<unsigned>(fit->scales[4 * j + i]) << (3 * i);
    }
    SetWord(out.scales + 2 * j, word);
  }
  return true;
}

}  // namespace plimsoll::kernels
