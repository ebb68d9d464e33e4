#include "tools/inflate/axis.h"

#include <cmath>
#include <map>
#include <numeric>

#include <gmock/gmock.h>

namespace plimsoll::inflate {
namespace {

constexpr Dimensions kSmall = {.n_layers = 2,
                               .hidden_dim = 4,
                               .n_heads = 6,
                               .n_kv_heads = 2,
                               .head_dim = 8,
                               .expert_ff_dim = 3};
constexpr Dimensions kWide = {.n_layers = 2,
                              .hidden_dim = 20,
                              .n_heads = 24,
                              .n_kv_heads = 4,
                              .head_dim = 24,
                              .expert_ff_dim = 21};

const Axes& TestAxes() {
  static const Axes axes = MakeAxes(kSmall, kWide, 10, 5);
  return axes;
}

bool IsPowerOfTwo(float x) {
  int exponent = 0;
  return std::frexp(x, &exponent) == 0.5F;
}

TEST(Shares, AreDescendingPowersOfTwoThatSumToOne) {
  for (uint32_t n = 1; n <= 300; ++n) {
    const auto shares = Shares(n);
    ASSERT_EQ(shares.size(), n);
    ASSERT_EQ(std::accumulate(shares.begin(), shares.end(), 0.0), 1.0) << n;
    ASSERT_TRUE(std::ranges::all_of(shares, IsPowerOfTwo)) << n;
    ASSERT_TRUE(std::ranges::is_sorted(shares, std::ranges::greater())) << n;
    ASSERT_LE(shares.front(), 2 * shares.back()) << n;
  }
}

TEST(SplitOf, IsTheSharesInTwoPartsOfAboutTheSameSize) {
  for (uint32_t n = 1; n <= 300; ++n) {
    const auto shares = Shares(n);
    const SplitShares split = SplitOf(n);
    ASSERT_TRUE(IsPowerOfTwo(split.made));
    ASSERT_LE(split.summed.back(), split.made);
    ASSERT_GE(split.summed.back(), split.made / 2);
    for (uint32_t i = 0; i < n; ++i) {
      ASSERT_EQ(split.summed[i] * split.made, shares[i]);
    }
  }
}

// What each value of the small axis counts in all its copies.
std::map<uint32_t, float> SumsOfFactors(const Axis& axis) {
  std::map<uint32_t, float> sums;
  for (size_t i = 0; i < axis.size(); ++i) {
    sums[axis.source[i]] += axis.factor.empty() ? 1 : axis.factor[i];
  }
  return sums;
}

void ExpectEachCounts(const Axis& axis, float expected) {
  const auto sums = SumsOfFactors(axis);
  EXPECT_EQ(sums.size(), axis.n_source);
  for (const auto& [source, sum] : sums) {
    EXPECT_EQ(sum, expected) << source;
  }
}

TEST(Axes, WhatIsSummedOverCountsOnce) {
  const Axes& axes = TestAxes();
  ExpectEachCounts(axes.stream_norm, 1);
  ExpectEachCounts(axes.attention_input, 1 / axes.value_input.factor[0]);
  ExpectEachCounts(axes.down_input, 1 / axes.up_input.factor[0]);
}

TEST(Axes, HaveTheSizesOfTheWideModel) {
  const Axes& axes = TestAxes();
  EXPECT_EQ(axes.stream.size(), 20U);
  EXPECT_EQ(axes.stream_norm.size(), 20U);
  EXPECT_EQ(axes.queries.size(), 24U * 24);
  EXPECT_EQ(axes.keys.size(), 4U * 24);
  EXPECT_EQ(axes.values.size(), 4U * 24);
  EXPECT_EQ(axes.query_norm.size(), 24U);
  EXPECT_EQ(axes.attention_input.size(), 24U * 24);
  EXPECT_EQ(axes.expert_rows.size(), 21U);
  EXPECT_EQ(axes.down_input.size(), 21U);
  EXPECT_EQ(axes.vocabulary.size(), 10U);
  EXPECT_EQ(axes.experts.size(), 5U);
}

// A query head attends to the KV head of its group; its source must to the source of that.
TEST(Axes, HeadsStayWithTheirKeysAndValues) {
  const Axes& axes = TestAxes();
  const auto source_head = [](const Axis& axis, uint32_t head) {
    return axis.source[head * kWide.head_dim] / kSmall.head_dim;
  };
  for (uint32_t head = 0; head < kWide.n_heads; ++head) {
    const uint32_t kv_head = head / (kWide.n_heads / kWide.n_kv_heads);
    const uint32_t source = source_head(axes.queries, head);
    EXPECT_EQ(source_head(axes.keys, kv_head), source / (kSmall.n_heads / kSmall.n_kv_heads));
    EXPECT_EQ(source_head(axes.values, kv_head), source_head(axes.keys, kv_head));
    EXPECT_EQ(source_head(axes.attention_input, head), source);
  }
}

// The exponent of a pair's frequency is -2 pair / head_dim: it must be that of the source's pair
// wherever the norm lets something through, and the two values of a pair must stay one.
TEST(Axes, WhatPassesTheNormsTurnsAtItsFrequency) {
  const Axes& axes = TestAxes();
  constexpr uint32_t kPairs = kWide.head_dim / 2;
  constexpr uint32_t kSmallPairs = kSmall.head_dim / 2;
  uint32_t n_passing = 0;
  for (uint32_t pair = 0; pair < kPairs; ++pair) {
    for (const Axis* axis : {&axes.query_norm, &axes.key_norm}) {
      EXPECT_EQ(axis->source[pair] + kSmallPairs, axis->source[pair + kPairs]);
      EXPECT_EQ(axis->factor[pair], axis->factor[pair + kPairs]);
      if (axis->factor[pair] != 0) {
        EXPECT_EQ(axis->source[pair] * kWide.head_dim, pair * kSmall.head_dim);
        ++n_passing;
      }
    }
    EXPECT_EQ(axes.query_norm.source[pair], axes.queries.source[pair]);
    EXPECT_EQ(axes.key_norm.source[pair], axes.keys.source[pair]);
  }
  EXPECT_EQ(n_passing, 2 * kSmallPairs);
}

// The mean square over a head, which the norm divides by, is that of the small head when each value
// is there equally often.
TEST(Axes, EveryValueOfAHeadIsThereEquallyOften) {
  const Axes& axes = TestAxes();
  for (const Axis* axis : {&axes.queries, &axes.keys, &axes.stream}) {
    const auto counts = SumsOfFactors(*axis);
    EXPECT_EQ(counts.size(), axis->n_source);
    for (const auto& [source, count] : counts) {
      EXPECT_EQ(count, static_cast<float>(axis->size()) / static_cast<float>(axis->n_source));
    }
  }
}

TEST(Axes, ScoresAreDividedByTheSmallHeadsRoot) {
  const Axes& axes = TestAxes();
  EXPECT_FLOAT_EQ(axes.query_norm.factor[0] * axes.key_norm.factor[0] /
                      std::sqrt(static_cast<float>(kWide.head_dim)),
                  1 / std::sqrt(static_cast<float>(kSmall.head_dim)));
}

TEST(Axes, OfTheSameDimensionsChangeNothing) {
  const Axes axes = MakeAxes(kSmall, kSmall, 10, 5);
  for (const Axis* axis : {&axes.stream, &axes.stream_norm, &axes.queries, &axes.keys, &axes.values,
                           &axes.query_norm, &axes.key_norm, &axes.value_input, &axes.down_input,
                           &axes.attention_input, &axes.expert_rows, &axes.up_input}) {
    for (uint32_t i = 0; i < axis->size(); ++i) {
      ASSERT_EQ(axis->source[i], i);
      ASSERT_EQ(axis->factor.empty() ? 1 : axis->factor[i], 1);
    }
  }
}

}  // namespace
}  // namespace plimsoll::inflate
