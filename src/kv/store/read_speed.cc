#include "kv/store/read_speed.h"

#include <algorithm>
#include <cmath>

namespace plimsoll::kv {

double ReadSpeed::FactorAt(Clock::time_point now) const {
  const double age = std::max(0.0, std::chrono::duration<double>(now - seen_).count());
  return log_factor_ * std::exp2(-age / std::chrono::duration<double>(kHalfLife).count());
}

void ReadSpeed::Add(double seen, Clock::time_point now) {
  const double known = FactorAt(now);
  log_factor_ = known + (std::log(seen / kAssumed) - known) / 2;
  seen_ = now;
}

double ReadSpeed::At(Clock::time_point now) const { return kAssumed * std::exp(FactorAt(now)); }

}  // namespace plimsoll::kv
