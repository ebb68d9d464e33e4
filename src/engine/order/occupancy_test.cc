#include "engine/order/occupancy.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::engine::order {
namespace {

// Step by step.
double PeakByCounting(const std::vector<Growing>& sequences) {
  double peak = 0;
  for (double step = 0; step <= 100; step += 1) {
    double sum = 0;
    for (const Growing& sequence : sequences) {
      sum += step <= sequence.n_more ? sequence.n_now + step : 0;
    }
    peak = std::max(peak, sum);
  }
  return peak;
}

TEST(PeakOccupancy, IsWhatCountingGives) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 500; ++i) {
    std::vector<Growing> sequences(random() % 12);
    for (Growing& sequence : sequences) {
      sequence = {.n_now = static_cast<double>(random() % 50),
                  .n_more = static_cast<double>(random() % 100)};
    }
    const double expected = PeakByCounting(sequences);
    EXPECT_DOUBLE_EQ(PeakOccupancy(sequences), expected);
  }
}

}  // namespace
}  // namespace plimsoll::engine::order
