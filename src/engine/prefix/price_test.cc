#include "engine/prefix/price.h"

#include <cmath>

#include <gtest/gtest.h>

namespace plimsoll::engine::prefix {
namespace {

TEST(Demand, FadesByHalfInAHalfLife) {
  const DemandClock clock = {.use_half_life_us = 16'000'000, .branch_half_life_us = 160'000'000};
  Demand once;
  once.Add(0, false, clock);
  EXPECT_EQ(once.At(0, clock), 1 / 16.0);
  EXPECT_EQ(once.At(16'000'000, clock), 0.5 / 16);
  EXPECT_NEAR(once.At(8'000'000, clock), std::sqrt(0.5) / 16, 1e-15);
  once.Add(16'000'000, false, clock);
  EXPECT_EQ(once.At(16'000'000, clock), 1.5 / 16);
  EXPECT_EQ(once.At(5, clock), 1.5 / 16);  // not before its last use
  EXPECT_EQ(once.At(UINT64_MAX, clock), 0);
}

// Of two that were used as often, the one that others have begun with is worth more, and in the end
// more than what was used later.
TEST(Demand, WhatBranchesIsWantedForLonger) {
  const DemandClock clock;
  Demand conversation;
  Demand system;
  conversation.Add(60'000'000, false, clock);
  system.Add(0, true, clock);
  EXPECT_GT(conversation.At(60'000'000, clock), system.At(60'000'000, clock));
  EXPECT_LT(conversation.At(300'000'000, clock), system.At(300'000'000, clock));
}

TEST(WaysBack, TakesTheCheapestOne) {
  WaysBack ways = {.seconds_per_token = 0.5, .seconds_per_token_and_position = 0.25};
  EXPECT_EQ(ways.CheapestSeconds(0, 2, 100, true), 2 * (0.5 + 0.25));
  EXPECT_EQ(ways.CheapestSeconds(96, 32, 100, true), 32 * (0.5 + 0.25 * 112));
  ways.reload_bytes_per_second = 50;
  EXPECT_EQ(ways.CheapestSeconds(96, 32, 100, true), 2);
  EXPECT_EQ(ways.CheapestSeconds(0, 2, 1000, true), 1.5);
  EXPECT_EQ(ways.CheapestSeconds(96, 32, 100, false), 32 * (0.5 + 0.25 * 112));
}

TEST(Price, IsDemandTimesSecondsPerByte) {
  EXPECT_EQ(PriceOf(6, 4, 8), 3);
  EXPECT_LT(PriceOf(6, 4, 16), PriceOf(6, 4, 8));
}

}  // namespace
}  // namespace plimsoll::engine::prefix
