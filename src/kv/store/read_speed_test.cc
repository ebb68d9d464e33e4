#include "kv/store/read_speed.h"

#include <gtest/gtest.h>

namespace plimsoll::kv {
namespace {

constexpr double kAssumed = ReadSpeed::kAssumed;
constexpr ReadSpeed::Clock::time_point kStart{std::chrono::hours(100)};

TEST(ReadSpeed, IsAssumedUntilSomethingWasRead) {
  EXPECT_DOUBLE_EQ(ReadSpeed().At(kStart), kAssumed);
}

TEST(ReadSpeed, FollowsWhatIsSeen) {
  ReadSpeed speed;
  for (int i = 0; i < 20; ++i) {
    speed.Add(kAssumed / 100, kStart);
  }
  EXPECT_NEAR(speed.At(kStart), kAssumed / 100, kAssumed / 1e5);
  for (int i = 0; i < 20; ++i) {
    speed.Add(kAssumed * 8, kStart);
  }
  EXPECT_NEAR(speed.At(kStart), kAssumed * 8, kAssumed / 100);
}

TEST(ReadSpeed, OneSlowReadIsNotBelievedAlone) {
  ReadSpeed speed;
  speed.Add(kAssumed / 100, kStart);
  EXPECT_NEAR(speed.At(kStart), kAssumed / 10, kAssumed / 1e5);
}

TEST(ReadSpeed, WhatWasSeenLongAgoIsForgotten) {
  ReadSpeed speed;
  for (int i = 0; i < 60; ++i) {
    speed.Add(kAssumed / 100, kStart);
  }
  EXPECT_NEAR(speed.At(kStart + ReadSpeed::kHalfLife), kAssumed / 10, kAssumed / 1e5);
  EXPECT_NEAR(speed.At(kStart + 20 * ReadSpeed::kHalfLife), kAssumed, kAssumed / 1e5);
  // And is no reason to believe the next less.
  speed.Add(kAssumed * 4, kStart + 40 * ReadSpeed::kHalfLife);
  EXPECT_NEAR(speed.At(kStart + 40 * ReadSpeed::kHalfLife), kAssumed * 2, kAssumed / 1e5);
}

}  // namespace
}  // namespace plimsoll::kv
