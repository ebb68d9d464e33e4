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

TEST(YieldingLine, GoesBelowALimitAtOnceAndNoFurther) {
  YieldingLine line(kTop, kFloor);
  constexpr uint64_t kStage = (kTop - kFloor) / YieldingLine::kStages;
  EXPECT_EQ(line.At(seconds(0), 0, kTop), kTop);
  EXPECT_EQ(line.At(seconds(1), 0, kTop - 1), kTop - kStage);
  EXPECT_EQ(line.At(seconds(2), 0, kTop - 3 * kStage - 1), kTop - 4 * kStage);
  // As long as it is there the line stays, however quiet it is.
  for (int s = 3; s < 5000; ++s) {
    EXPECT_EQ(line.At(seconds(s), 0, kTop - 3 * kStage - 1), kTop - 4 * kStage);
  }
  // Raised in part: as far as it allows, by stages.
  EXPECT_EQ(line.At(seconds(5000), 0, kTop - kStage), kTop - 3 * kStage);
  EXPECT_EQ(line.At(seconds(5001), 0, kTop - kStage), kTop - 3 * kStage);
  for (int s = 5002; s < 5100; ++s) {
    (void)line.At(seconds(s), 0, kTop - kStage);
  }
  EXPECT_EQ(line.bytes(), kTop - kStage);
}

TEST(YieldingLine, ALimitBelowTheFloorEndsAtTheFloor) {
  YieldingLine line(kTop, kFloor);
  EXPECT_EQ(line.At(seconds(0), 0, 1), kFloor);
  EXPECT_EQ(line.At(seconds(1), 0.5, 1), kFloor);
  EXPECT_EQ(line.At(seconds(1000), 0, 1), kFloor);
}

TEST(YieldingLine, ALimitThatComesAndGoesIsFollowedLessAndLessOften) {
  YieldingLine line(kTop, kFloor);
  uint64_t before = kTop;
  int n_moves = 0;
  for (int s = 0; s < 24 * 3600; ++s) {
    const uint64_t now = line.At(seconds(s), 0, s % 45 == 0 ? kTop - 1 : kTop);
    n_moves += now != before ? 1 : 0;
    before = now;
  }
  EXPECT_GT(n_moves, 2);
  EXPECT_LE(n_moves, 250);
}

TEST(YieldingLine, WithoutASpanItStays) {
  YieldingLine line(kTop, kTop);
  for (int s = 0; s < 100; ++s) {
    EXPECT_EQ(line.At(seconds(s), 1), kTop);
  }
}

}  // namespace
}  // namespace plimsoll::memory
