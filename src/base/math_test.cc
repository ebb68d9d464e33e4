#include "base/math.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

double UlpsApart(double a, double b) {
  const double ulp = std::nextafter(std::fabs(b), INFINITY) - std::fabs(b);
  return std::fabs(a - b) / ulp;
}

TEST(StableExp, StaysWithinTwoUlpsOfTheTrueValue) {
  double worst = 0;
  for (int i = -70000; i <= 70900; ++i) {
    const double x = i * 0.01 + 1e-7 * i;
    if (x > 709.7) {
      break;
    }
    worst = std::max(
        worst, UlpsApart(StableExp(x), static_cast<double>(std::exp(static_cast<long double>(x)))));
  }
  EXPECT_LE(worst, 2.0);
  EXPECT_EQ(StableExp(0.0), 1.0);
}

TEST(StableExp, EndsOfTheRange) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(StableExp(-kInf), 0.0);
  EXPECT_EQ(StableExp(-800.0), 0.0);
  EXPECT_GT(StableExp(-740.0), 0.0);
  EXPECT_EQ(StableExp(kInf), kInf);
  EXPECT_EQ(StableExp(710.0), kInf);
  EXPECT_TRUE(std::isnan(StableExp(std::numeric_limits<double>::quiet_NaN())));
}

TEST(StableLog, StaysWithinTwoUlpsOfTheTrueValue) {
  double worst = 0;
  for (int i = 1; i <= 100000; ++i) {
    const double near_one = 0.5 + i * 1e-5;
    const double wide = std::ldexp(near_one, i % 2000 - 1000);
    for (const double x : {near_one, wide}) {
      const auto truth = static_cast<double>(std::log(static_cast<long double>(x)));
      if (truth != 0) {
        worst = std::max(worst, UlpsApart(StableLog(x), truth));
      }
    }
  }
  EXPECT_LE(worst, 2.0);
  EXPECT_EQ(StableLog(1.0), 0.0);
}

TEST(StableLog, EndsOfTheRange) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(StableLog(0.0), -kInf);
  EXPECT_EQ(StableLog(kInf), kInf);
  EXPECT_TRUE(std::isnan(StableLog(-1.0)));
  EXPECT_NEAR(StableLog(5e-324), -744.4400719213812, 1e-12);
}

}  // namespace
}  // namespace plimsoll
