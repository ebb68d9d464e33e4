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

constexpr uint64_t kGone = 2000;  // half-lives after which no double is left

// In sixteenths of a half-life.
double Faded(double value, uint64_t from_us, uint64_t to_us, uint64_t half_life_us) {
  const uint64_t step = std::max<uint64_t>(half_life_us / kRoots.size(), 1);
  const uint64_t ticks = to_us / step - from_us / step;
  const uint64_t halvings = std::min<uint64_t>(ticks / kRoots.size(), kGone);
  return std::ldexp(value / kRoots[ticks % kRoots.size()], -static_cast<int>(halvings));
}

double PerSecond(double value, uint64_t half_life_us) {
  return value / (static_cast<double>(half_life_us) / 1e6);
}

}  // namespace

void Demand::Add(uint64_t time_us, bool branches, const DemandClock& clock) {
  const uint64_t now = std::max(time_us, last_us_);
  uses_ = Faded(uses_, last_us_, now, clock.use_half_life_us) + 1;
  branches_ = Faded(branches_, last_us_, now, clock.branch_half_life_us) + (branches ? 1 : 0);
  last_us_ = now;
}

double Demand::At(uint64_t time_us, const DemandClock& clock) const {
  const uint64_t now = std::max(time_us, last_us_);
  return PerSecond(Faded(uses_, last_us_, now, clock.use_half_life_us), clock.use_half_life_us) +
         PerSecond(Faded(branches_, last_us_, now, clock.branch_half_life_us),
                   clock.branch_half_life_us);
}

double WaysBack::RecomputeSeconds(uint32_t first_position, uint32_t n_tokens) const {
  const double n = n_tokens;
  const double middle = first_position + n / 2;
  return n * (seconds_per_token + seconds_per_token_and_position * middle);
}

double WaysBack::CheapestSeconds(uint32_t first_position, uint32_t n_tokens, uint64_t bytes,
                                 bool is_saved) const {
  const double recompute = RecomputeSeconds(first_position, n_tokens);
  if (!is_saved || reload_bytes_per_second <= 0) {
    return recompute;
  }
  return std::min(recompute, static_cast<double>(bytes) / reload_bytes_per_second);
}

double PriceOf(double demand, double seconds, uint64_t bytes) {
  return demand * seconds / static_cast<double>(std::max<uint64_t>(bytes, 1));
}

}  // namespace plimsoll::engine::prefix
