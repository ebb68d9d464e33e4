#include "sampling/logprobs.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace plimsoll::sampling {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(LogSumExp, IsExactWhereItCanBeAndNeverOverflows) {
  EXPECT_NEAR(LogSumExp(std::vector<float>{0, 0, 0, 0}), std::log(4.0), 1e-15);
  EXPECT_NEAR(LogSumExp(std::vector<float>{1e30F, 1e30F}), 1e30F, 1e20);
  EXPECT_EQ(LogSumExp(std::vector<float>{3, -kInfinity, NAN}), 3);
  EXPECT_EQ(LogSumExp(std::vector<float>{-kInfinity}), -kInfinity);
  EXPECT_EQ(LogSumExp({}), -kInfinity);
}

TEST(TopLogprobs, BestFirstTiesToTheLowerId) {
  const std::vector<float> logits = {1, 2, NAN, 2, -kInfinity, 0};
  const auto top = TopLogprobs(logits, 4);
  ASSERT_EQ(top.size(), 4U);
  EXPECT_EQ(top[0].first, 1);
  EXPECT_EQ(top[1].first, 3);
  EXPECT_EQ(top[2].first, 0);
  EXPECT_EQ(top[3].first, 5);
  EXPECT_NEAR(top[2].second, 1 - LogSumExp(logits), 1e-15);
  EXPECT_EQ(TopLogprobs(logits, 100).size(), 6U);
}

}  // namespace
}  // namespace plimsoll::sampling
