// How fast blocks come back from a disk: what was seen of late, and what is assumed of a disk that
// nobody looked at for a while. What is measured once must not hold for ever: a disk that was slow
// is then read no more, and nothing would say that it is quick again.
#pragma once

#include <chrono>

namespace plimsoll::kv {

class ReadSpeed {
 public:
  using Clock = std::chrono::steady_clock;
  // Bytes a second of a slow solid-state disk.
  static constexpr double kAssumed = 5e8;
  // After which half of what was seen is forgotten, in the logarithm.
  static constexpr std::chrono::seconds kHalfLife{120};

  // Bytes a second, more than 0.
  void Add(double seen, Clock::time_point now);
  [[nodiscard]] double At(Clock::time_point now) const;

 private:
  [[nodiscard]] double FactorAt(Clock::time_point now) const;

  double log_factor_ = 0;  // of what is assumed, when it was seen
  Clock::time_point seen_;
};

}  // namespace plimsoll::kv
