#include "model/rope.h"

#include <cmath>

#include <gtest/gtest.h>

namespace plimsoll::model {
namespace {

struct Angles {
  std::vector<float> cos, sin;
};

Angles At(const RopeTable& table, uint32_t position) {
  Angles a{std::vector<float>(table.n_pairs()), std::vector<float>(table.n_pairs())};
  table.Angles(position, a.cos, a.sin);
  return a;
}

double Frequency(double theta, uint32_t n_dims, size_t pair) {
  return std::pow(theta, -2.0 * static_cast<double>(pair) / n_dims);
}

constexpr float kTolerance = 2e-7F;  // a float's rounding and the library's own

TEST(Rope, PlainAnglesEvenFarOut) {
  const RopeTable table({.n_dims = 64, .theta = 1e6}, {});
  for (const uint32_t position : {0U, 1U, 1000U, 131071U}) {
    const Angles a = At(table, position);
    for (size_t i = 0; i < 32; ++i) {
      const double angle = position * Frequency(1e6, 64, i);
      EXPECT_NEAR(a.cos[i], std::cos(angle), kTolerance) << position << " " << i;
      EXPECT_NEAR(a.sin[i], std::sin(angle), kTolerance) << position << " " << i;
    }
  }
}

TEST(Rope, LinearInterpolationSlowsEveryPair) {
  const RopeTable plain({.n_dims = 16}, {});
  const RopeTable linear({.n_dims = 16, .scaling = RopeScaling::kLinear, .factor = 4}, {});
  EXPECT_EQ(At(linear, 400).cos, At(plain, 100).cos);
}

TEST(Rope, NtkChangesTheBase) {
  const RopeTable table({.n_dims = 16, .scaling = RopeScaling::kNtk, .factor = 4}, {});
  const double theta = 10000.0 * std::pow(4.0, 16.0 / 14.0);
  EXPECT_NEAR(At(table, 7).sin[0], std::sin(7.0), kTolerance);
  EXPECT_NEAR(At(table, 700).sin[7], std::sin(700 * Frequency(theta, 16, 7)), kTolerance);
}

TEST(Rope, YarnKeepsFastPairsInterpolatesSlowOnesAndGrows) {
  const RopeTable table(
      {.n_dims = 64, .scaling = RopeScaling::kYarn, .factor = 4, .n_ctx_original = 4096}, {});
  const double magnitude = 1.0 + 0.1 * std::log(4.0);
  const Angles a = At(table, 50);
  EXPECT_NEAR(a.cos[0], std::cos(50.0) * magnitude, 3e-7);
  const double slow = Frequency(10000, 64, 31) / 4;
  EXPECT_NEAR(a.sin[31], std::sin(50 * slow) * magnitude, 3e-7);
  // A factor that shortens changes no lengths.
  const RopeTable shorter({.n_dims = 64, .scaling = RopeScaling::kYarn, .factor = 0.5}, {});
  EXPECT_EQ(At(shorter, 0).cos[0], 1.0F);
  const RopeTable unchanged({.n_dims = 64,
                             .scaling = RopeScaling::kYarn,
                             .factor = 4,
                             .n_ctx_original = 4096,
                             .lengthens = false},
                            {});
  EXPECT_NEAR(At(unchanged, 50).cos[0], std::cos(50.0), kTolerance);
  // The ramp: between both.
  const double between = std::asin(a.sin[15] / magnitude) / 50;
  EXPECT_LT(between, Frequency(10000, 64, 15));
  EXPECT_GT(between, Frequency(10000, 64, 15) / 4);
}

TEST(Rope, Llama3StretchesLongWaves) {
  const RopeTable table({.n_dims = 128,
                         .theta = 500000,
                         .scaling = RopeScaling::kLlama3,
                         .factor = 8,
                         .n_ctx_original = 8192,
                         .low_freq_factor = 1,
                         .high_freq_factor = 4},
                        {});
  const Angles a = At(table, 1000);
  EXPECT_NEAR(a.cos[0], std::cos(1000.0), kTolerance);
  EXPECT_NEAR(a.sin[63], std::sin(1000 * Frequency(500000, 128, 63) / 8), kTolerance);
}

// Behind the angles of a position those of a turn give those of another; lengths come from the
// first alone.
TEST(Rope, TurnsAddUp) {
  const RopeTable table(
      {.n_dims = 64, .scaling = RopeScaling::kYarn, .factor = 4, .n_ctx_original = 4096}, {});
  for (const int64_t distance : {0, 1, 1000, -1, -800}) {
    const Angles from = At(table, 900);
    const Angles to = At(table, static_cast<uint32_t>(900 + distance));
    Angles turn = from;
    table.TurnAngles(distance, turn.cos, turn.sin);
    for (size_t i = 0; i < table.n_pairs(); ++i) {
      EXPECT_NEAR(from.cos[i] * turn.cos[i] - from.sin[i] * turn.sin[i], to.cos[i], 4e-7);
      EXPECT_NEAR(from.cos[i] * turn.sin[i] + from.sin[i] * turn.cos[i], to.sin[i], 4e-7);
    }
  }
}

TEST(Rope, FactorsOfTheFileDivideFrequencies) {
  const std::vector<float> factors = {1, 2, 4, 8};
  const RopeTable table({.n_dims = 8}, factors);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(At(table, 10).sin[i], std::sin(10 * Frequency(10000, 8, i) / factors[i]),
                kTolerance);
  }
}

}  // namespace
}  // namespace plimsoll::model
