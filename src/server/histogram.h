// How long things took, counted by classes of duration.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace plimsoll::server {

// Upper ends of the classes, in seconds; the last class has no end. The same for everything, so
// that they can be added and compared.
inline constexpr std::array<double, 17> kHistogramBounds = {
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000};

// Thread-safe.
class Histogram {
 public:
  void Observe(double seconds) {
    size_t i = 0;
    while (i < kHistogramBounds.size() && seconds > kHistogramBounds[i]) {
      ++i;
    }
    const std::lock_guard lock(mutex_);
    ++counts_.of[i];
    counts_.sum += seconds;
    ++counts_.n;
  }

  struct Counts {
    std::array<uint64_t, kHistogramBounds.size() + 1> of = {};  // by class, not cumulative
    double sum = 0;
    uint64_t n = 0;
  };
  [[nodiscard]] Counts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  Counts counts_;
};

}  // namespace plimsoll::server
