// TQ1_0 and TQ2_0: 256 values that are -1, 0 or 1 times one scale.
#include <numeric>
#include <optional>

#include "kernels/quantize_scaled.h"

namespace plimsoll::kernels {
namespace {

// The scale of least squares, exactly: whatever it is, the values that are not 0 are those of
// largest magnitude, and of each such choice the best scale is their weighted mean.
double BestTernaryScale(const Weighted<256>& v) {
  std::array<uint8_t, 256> order;
  std::iota(order.begin(), order.end(), uint8_t{0});
  std::ranges::stable_sort(order, std::greater(), [&v](uint8_t i) { return std::fabs(v.x[i]); });
  double products = 0;
  double weights = 0;
  double best_gain = 0;
  double best = 0;
  for (const uint8_t i : order) {
    products += double{v.w[i]} * std::fabs(v.x[i]);
    weights += v.w[i];
    if (products * products > best_gain * weights) {
      best_gain = products * products / weights;
      best = products / weights;
    }
  }
  return best;
}

struct Ternary {
  uint16_t d = 0;
  std::array<uint8_t, 256> digits = {};  // 0, 1, 2 for -1, 0, 1
};

std::optional<Ternary> FitTernary(const Weighted<256>& v) {
  Ternary ternary = {.d = ScaleBits(BestTernaryScale(v)), .digits = {}};
  const float scale = F16ToFloat(ternary.d);
  if (scale > kF16Max) {
    return std::nullopt;
  }
  for (size_t i = 0; i < 256; ++i) {
    const float code = scale == 0 ? 0 : NearestCode(v.x[i] / scale, -1, 1);
    ternary.digits[i] = static_cast<uint8_t>(static_cast<int>(code) + 1);
  }
  return ternary;
}

// Five digits to the base of three as a fraction of 256, rounded up so that multiplying by powers
// of three gives each back.
uint8_t Fraction(std::span<const uint8_t, 5> digits) {
  unsigned number = 0;
  for (const uint8_t digit : digits) {
    number = 3 * number + digit;
  }
  constexpr unsigned kNumbers = 243;
  return static_cast<uint8_t>((256 * number + kNumbers - 1) / kNumbers);
}

// `bytes` take digits that lie bytes.size() apart, up to five each.
void PackDigits(std::span<const uint8_t> digits, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::array<uint8_t, 5> five = {};
    for (size_t n = 0; n < five.size() && i + n * bytes.size() < digits.size(); ++n) {
      five[n] = digits[i + n * bytes.size()];
    }
    bytes[i] = Fraction(five);
  }
}

}  // namespace

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockTQ1_0& out) {
  const auto fit = FitTernary(v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  const std::span<const uint8_t> digits = fit->digits;
  const std::span<uint8_t> bytes = out.qs;
  PackDigits(digits.first(160), bytes.first(32));
  PackDigits(digits.subspan(160, 80), bytes.subspan(32));
  PackDigits(digits.subspan(240), out.qh);
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockTQ2_0& out) {
  const auto fit = FitTernary(v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  for (size_t i = 0; i < 256; ++i) {  // four runs of 32 share 32 bytes
    uint8_t& four = out.qs[32 * (i / 128) + i % 32];
    four = static_cast<uint8_t>(four | fit->digits[i] << (2 * (i / 32 % 4)));
  }
  return true;
}

}  // namespace plimsoll::kernels
