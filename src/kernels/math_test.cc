#include "kernels/math.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/trig.h"

namespace plimsoll::kernels {
namespace {

// How far `got` is from `want`, in units of the last place of the float nearest to it.
double UlpError(float got, double want) {
  const auto nearest = static_cast<float>(want);
  const double ulp = static_cast<double>(std::nextafter(std::fabs(nearest), 1e38F)) -
                     static_cast<double>(std::fabs(nearest));
  return std::fabs(static_cast<double>(got) - want) / ulp;
}

// PLIMSOLL_EXHAUSTIVE=1 tries every float; otherwise one in some thousand, which takes a moment.
uint32_t Stride() { return std::getenv("PLIMSOLL_EXHAUSTIVE") != nullptr ? 1 : 4093; }

TEST(ExpFloat, IsWithinOneUlpWhereItIsNormal) {
  double worst = 0;
  for (uint64_t bits = 0; bits <= 0xFFFFFFFFU; bits += Stride()) {
    const auto x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!(x >= exp_constants::kLowest && x <= exp_constants::kHighest)) {
      continue;
    }
    worst = std::max(worst, UlpError(Exp(x), std::exp(static_cast<double>(x))));
  }
  // 0.5 of the last fma, 0.25 of the one before it where the result is below 1 (so its ulp is
  // half), and under 0.2 of the coefficients and of r.
  EXPECT_LE(worst, 1.0);
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST(ExpFloat, Limits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0F), 1.0F);
  EXPECT_EQ(Exp(-0.0F), 1.0F);
  EXPECT_EQ(Exp(-kInfinity), 0.0F);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(std::nextafter(exp_constants::kLowest, -100.0F)), 0.0F);
  EXPECT_GT(Exp(exp_constants::kLowest), std::numeric_limits<float>::min());
  EXPECT_LT(Exp(exp_constants::kHighest), std::numeric_limits<float>::max());
  EXPECT_EQ(Exp(std::nextafter(exp_constants::kHighest, 100.0F)), kInfinity);
}

TEST(Activations, FollowTheirDefinitions) {
  for (float x = -60; x <= 60; x += 0.0371F) {
    const double e = std::exp(-static_cast<double>(x));
    // Exp within 1 ulp, then an addition and a division of half an ulp each; the sum's error is at
    // most that of its larger part.
    EXPECT_LE(UlpError(Sigmoid(x), 1 / (1 + e)), 3) << x;
    EXPECT_LE(UlpError(Silu(x), x / (1 + e)), 3) << x;
    EXPECT_NEAR(static_cast<double>(Tanh(x)), std::tanh(static_cast<double>(x)), 0x1p-22) << x;
  }
  EXPECT_EQ(Silu(-200.0F), 0.0F);
  EXPECT_EQ(Sigmoid(-200.0F), 0.0F);
  EXPECT_EQ(Sigmoid(200.0F), 1.0F);
  EXPECT_EQ(Tanh(-100.0F), -1.0F);
  EXPECT_EQ(Tanh(100.0F), 1.0F);
}

TEST(TrigDouble, AgreesWithTheLibraryAtEveryPosition) {
  // Positions to a million, times frequencies as models have them.
  for (const double frequency : {1.0, 0.74989420933245582, 0.1, 1e-3, 1e-6}) {
    for (int64_t position = 0; position < 1'000'000; position += 977) {
      const double x = static_cast<double>(position) * frequency;
      // Absolute: a few ulp of 1, far below half an ulp of the floats that they are rounded to.
      ASSERT_NEAR(Sin(x), std::sin(x), 4e-16) << x;
      ASSERT_NEAR(Cos(x), std::cos(x), 4e-16) << x;
      ASSERT_EQ(Sin(-x), -Sin(x));
      ASSERT_EQ(Cos(-x), Cos(x));
    }
  }
  EXPECT_EQ(Sin(0.0), 0.0);
  EXPECT_EQ(Cos(0.0), 1.0);
}

TEST(ExpAndLogDouble, AgreeWithTheLibrary) {
  for (double x = -700; x <= 700; x += 0.7311) {
    ASSERT_NEAR(Exp(x) / std::exp(x), 1.0, 1e-15) << x;
  }
  for (double x = 1e-300; x < 1e300; x *= 1.37) {
    ASSERT_NEAR(Log(x), std::log(x), std::fabs(std::log(x)) * 5e-16 + 1e-17) << x;
  }
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_NEAR(Log(1.0 + 0x1p-40), 0x1p-40, 0x1p-81);
  EXPECT_EQ(Exp(0.0), 1.0);
}

}  // namespace
}  // namespace plimsoll::kernels
