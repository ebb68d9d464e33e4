#include "engine/prefix/price.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace plimsoll::engine::prefix {
namespace {

// 2^(k/16).
constexpr std::array<double, 16> kRoots = {1.0,
                                           1.0442737824274138,
                                           1.0905077326652577,
                                           1.1387886347566916,
                                           1.189207115002721,
                                           1.241857812073484,
                                           1.2968395546510096,
                                           1.3542555469368927,
                                           1.4142135623730951,
                                           1.4768261459394993,
                                           1.5422108254079407,
                                           1.6104903319492543,
                                           1.681792830507429,
                                           1.7562521603732995,
                                           1.8340080864093424,
                                           1.9152065613971474};

// A double has 53 bits: what is that much smaller adds nothing.
constexpr int64_t kFar = 64;

}  // namespace

WideReal WideReal::Of(double value, int64_t exponent) {
  if (!(value > 0)) {
    return {};
  }
  int shift = 0;
  const double mantissa = std::frexp(value, &shift);
  return {exponent + shift, mantissa};
}

WideReal WideReal::Plus(WideReal other) const {
  const WideReal& large = exponent >= other.exponent ? *this : other;
  const WideReal& small = exponent >= other.exponent ? other : *this;
  if (small.mantissa == 0 || large.exponent - small.exponent > kFar) {
    return large;
  }
  const auto shift = static_cast<int>(small.exponent - large.exponent);
  return Of(large.mantissa + std::ldexp(small.mantissa, shift), large.exponent);
}

WideReal WideReal::Times(double factor) const {
  return mantissa == 0 ? WideReal() : Of(mantissa * factor, exponent);
}

WideReal DemandClock::WeightAt(uint64_t time_us) const {
  const uint64_t step = std::max<uint64_t>(half_life_us / kRoots.size(), 1);
  const uint64_t ticks = time_us / step;
  return WideReal::Of(kRoots[ticks % kRoots.size()], static_cast<int64_t>(ticks / kRoots.size()));
}

double WaysBack::CheapestSeconds(uint32_t first_position, uint32_t n_tokens, uint64_t bytes) const {
  const double n = n_tokens;
  const double middle = first_position + n / 2;
  const double recompute = n * (seconds_per_token + seconds_per_token_and_position * middle);
  if (reload_bytes_per_second <= 0) {
    return recompute;
  }
  return std::min(recompute, static_cast<double>(bytes) / reload_bytes_per_second);
}

WideReal PriceOf(WideReal demand, double seconds, uint64_t bytes) {
  return demand.Times(seconds / static_cast<double>(std::max<uint64_t>(bytes, 1)));
}

}  // namespace plimsoll::engine::prefix
