#include "memory/yielding_line.h"

#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::memory {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr uint64_t kTop = 8 * kGiB;
constexpr uint64_t kFloor = 2 * kGiB;

TEST(YieldingLine, StaysWhereNothingStandsStill) {
  YieldingLine line(kTop, kFloor);
  for (int s = 0; s < 1000; ++s) {
    EXPECT_EQ(line.At(seconds(s), YieldingLine::kShortShare / 2), kTop);
  }
}

TEST(YieldingLine, GoesDownByStagesToTheFloorAndNoFurther) {
  YieldingLine line(kTop, kFloor);
  uint64_t before = kTop;
  for (int s = 0; s < 100; ++s) {
    const uint64_t now = line.At(seconds(s), 0.5);
    EXPECT_LE(now, before);
    EXPECT_LE(before - now, (kTop - kFloor) / YieldingLine::kStages);
    EXPECT_GE(now, kFloor);
    before = now;
  }
  EXPECT_EQ(before, kFloor);
}

TEST(YieldingLine, ComesBackByStagesAfterAQuietWhile) {
  YieldingLine line(kTop, kFloor);
  int s = 0;
  for (; s < 20; ++s) {
    (void)line.At(seconds(s), 0.5);
  }
  EXPECT_EQ(line.bytes(), kFloor);
  for (; s < 19 + 30; ++s) {
    EXPECT_EQ(line.At(seconds(s), 0), kFloor) << s;
  }
  uint64_t before = kFloor;
  for (; s < 19 + 30 + 10 * 8; ++s) {
    const uint64_t now = line.At(seconds(s), 0);
    EXPECT_GE(now, before);
    EXPECT_LE(now - before, (kTop - kFloor) / YieldingLine::kStages);
    before = now;
  }
  EXPECT_EQ(before, kTop);
}

// Others who take all but so many bytes, for a part of the time: memory is short while the line is
// above that.
struct Host {
  uint64_t left = 3 * kGiB;
  [[nodiscard]] double StalledShare(uint64_t line) const { return line > left ? 0.4 : 0.0; }
};

TEST(YieldingLine, MakesRoomAndDoesNotFlapWhileOthersStay) {
  YieldingLine line(kTop, kFloor);
  const Host host;
  uint64_t n_short = 0;
  uint64_t n_moves = 0;
  uint64_t before = kTop;
  const auto day = static_cast<int>(seconds(hours(24)).count());
  for (int s = 0; s < day; ++s) {
    const double share = host.StalledShare(before);
    n_short += share > 0 ? 1 : 0;
    const uint64_t now = line.At(seconds(s), share);
    n_moves += now != before ? 1 : 0;
    before = now;
  }
  // Every quarter of an hour it looks whether there is room again.
  EXPECT_LE(n_moves, 250U);
  EXPECT_LE(n_short, static_cast<uint64_t>(day) / 100);
  EXPECT_LE(before, host.left + (kTop - kFloor) / YieldingLine::kStages);
}

TEST(YieldingLine, WithoutASpanItStays) {
  YieldingLine line(kTop, kTop);
  for (int s = 0; s < 100; ++s) {
    EXPECT_EQ(line.At(seconds(s), 1), kTop);
  }
}

}  // namespace
}  // namespace plimsoll::memory
