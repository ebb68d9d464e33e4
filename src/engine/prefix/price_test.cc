#include "engine/prefix/price.h"

#include <cmath>

#include <gtest/gtest.h>

namespace plimsoll::engine::prefix {
namespace {

double ToDouble(WideReal x) {
  return x.mantissa == 0 ? 0 : std::ldexp(x.mantissa, static_cast<int>(x.exponent));
}

TEST(WideReal, CountsAsDoublesDo) {
  EXPECT_EQ(ToDouble(WideReal::Of(3).Plus(WideReal::Of(0.625))), 3.625);
  EXPECT_EQ(ToDouble(WideReal().Plus(WideReal::Of(2))), 2);
  EXPECT_EQ(ToDouble(WideReal::Of(3).Times(0.25)), 0.75);
  EXPECT_EQ(WideReal::Of(5).Times(0), WideReal());
  EXPECT_LT(WideReal(), WideReal::Of(1e-300));
  EXPECT_LT(WideReal::Of(1.5), WideReal::Of(2));
  EXPECT_LT(WideReal::Of(7, 1000), WideReal::Of(1, 5000));
  EXPECT_EQ(WideReal::Of(1, 5000).Plus(WideReal::Of(7, 1000)), WideReal::Of(1, 5000));
}

TEST(DemandClock, AUseCountsHalfAfterTheHalfLife) {
  const DemandClock clock = {.half_life_us = 1600};
  EXPECT_EQ(ToDouble(clock.WeightAt(0)), 1);
  EXPECT_EQ(ToDouble(clock.WeightAt(1600)), 2);
  EXPECT_EQ(ToDouble(clock.WeightAt(4800)), 8);
  EXPECT_NEAR(ToDouble(clock.WeightAt(800)), std::sqrt(2), 1e-15);
  // Years later two uses still count more than one.
  const uint64_t late = 100'000'000'000;
  EXPECT_LT(clock.WeightAt(late), clock.WeightAt(late).Plus(clock.WeightAt(late)));
}

TEST(WaysBack, TakesTheCheapestOne) {
  WaysBack ways = {.seconds_per_token = 0.5, .seconds_per_token_and_position = 0.25};
  EXPECT_EQ(ways.CheapestSeconds(0, 2, 100), 2 * (0.5 + 0.25));
  EXPECT_EQ(ways.CheapestSeconds(96, 32, 100), 32 * (0.5 + 0.25 * 112));
  ways.reload_bytes_per_second = 50;
  EXPECT_EQ(ways.CheapestSeconds(96, 32, 100), 2);
  EXPECT_EQ(ways.CheapestSeconds(0, 2, 1000), 1.5);
}

TEST(Price, IsDemandTimesSecondsPerByte) {
  EXPECT_EQ(PriceOf(WideReal::Of(6), 4, 8), WideReal::Of(3));
  EXPECT_LT(PriceOf(WideReal::Of(6), 4, 16), PriceOf(WideReal::Of(6), 4, 8));
}

}  // namespace
}  // namespace plimsoll::engine::prefix
