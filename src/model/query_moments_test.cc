#include "model/query_moments.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace plimsoll::model {
namespace {

constexpr size_t kMomentSlots = 50;
constexpr size_t kPast = 37;
constexpr uint32_t kQueries = 32;

using Rows = std::vector<std::vector<float>>;  // [query][slot]

// Mostly small, as attention is; some slots get nothing, some all alike, one its all from one
// query.
Rows SomeWeights() {
  Rows rows(kQueries, std::vector<float>(kMomentSlots));
  for (uint32_t q = 0; q < kQueries; ++q) {
    for (uint32_t s = 0; s < kMomentSlots; ++s) {
      const float u = static_cast<float>(Philox(3, q * kMomentSlots + s, 0)[0]) * 0x1p-32F;
      rows[q][s] = s % 7 == 0 ? 0 : s % 7 == 1 ? 0.25F : u * u * u * u * 0.3F;
    }
  }
  for (uint32_t q = 0; q < kQueries; ++q) {
    rows[q][9] = q == 0 ? 0.9F : 1e-6F;
  }
  return rows;
}

// In two passes, plainly.
double Central(const Rows& rows, size_t slot, int power) {
  double mean = 0;
  for (const auto& row : rows) {
    mean += static_cast<double>(row[slot]) / kQueries;
  }
  double sum = 0;
  for (const auto& row : rows) {
    sum += std::pow(static_cast<double>(row[slot]) - mean, power) / kQueries;
  }
  return power == 1 ? mean : sum;
}

struct Measured {
  std::vector<double> sums = std::vector<double>(kMomentSlots * QueryMoments::kSums, 99);
  std::vector<float> first = std::vector<float>(kMomentSlots, 99);
  QueryMoments moments{sums, first};

  explicit Measured(const Rows& rows) {
    for (const auto& row : rows) {
      moments.Add(row, kPast);
    }
  }
};

TEST(QueryMoments, ScoresAreTheMeanAndAMultipleOfTheVariance) {
  const Rows rows = SomeWeights();
  const Measured measured(rows);
  std::vector<float> scores(kMomentSlots);
  measured.moments.Score(scores);
  for (size_t s = 0; s < kMomentSlots; ++s) {
    const double expected = Central(rows, s, 1) + 263.8 * Central(rows, s, 2);
    ASSERT_NEAR(scores[s], expected, 1e-6 * expected + 1e-12) << s;
  }
}

TEST(QueryMoments, TheSpreadIsThatOfThePast) {
  const Rows rows = SomeWeights();
  AttentionSpread expected;
  for (size_t s = 0; s < kPast; ++s) {
    for (const auto& row : rows) {
      expected.entropy -= row[s] * std::log(row[s] + 1e-10);
    }
    if (const double variance = Central(rows, s, 2); variance > 1e-20) {
      expected.variance += variance;
      expected.kurtosis += Central(rows, s, 4) / (variance * variance);
    }
  }
  const AttentionSpread spread = Measured(rows).moments.Spread(kPast);
  EXPECT_NEAR(spread.entropy, expected.entropy, 1e-9 * expected.entropy);
  EXPECT_NEAR(spread.variance, expected.variance, 1e-9 * expected.variance);
  EXPECT_NEAR(spread.kurtosis, expected.kurtosis, 1e-9 * expected.kurtosis);
  EXPECT_NEAR(spread.Weight(),
              std::pow(expected.entropy, 1 / 7.774) * std::pow(expected.variance, 1 / 5.407) *
                  std::pow(expected.kurtosis, 1 / 5.528),
              1e-5);
}

TEST(QueryMoments, WhereNothingIsSaidTheWeightIsZero) {
  const Rows zeros(kQueries, std::vector<float>(kMomentSlots, 0.0F));
  EXPECT_EQ(Measured(zeros).moments.Spread(kPast).Weight(), 0.0F);
  const Rows alike(kQueries, std::vector<float>(kMomentSlots, 0.02F));
  EXPECT_EQ(Measured(alike).moments.Spread(kPast).Weight(), 0.0F);
  Rows nans = SomeWeights();
  nans[5][3] = std::nanf("");
  const AttentionSpread spread = Measured(nans).moments.Spread(kPast);
  EXPECT_TRUE(std::isfinite(spread.variance) && std::isfinite(spread.kurtosis));
}

}  // namespace
}  // namespace plimsoll::model
