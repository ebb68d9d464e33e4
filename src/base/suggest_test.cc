#include "base/suggest.h"

#include <vector>

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

TEST(EditDistance, CountsSlips) {
  EXPECT_EQ(EditDistance("", "abc"), 3U);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3U);
  EXPECT_EQ(EditDistance("tempp", "temp"), 1U);
  EXPECT_EQ(EditDistance("tpem", "temp"), 2U);
  EXPECT_EQ(EditDistance("teh", "the"), 1U);
}

TEST(Suggest, FindsTheNearestOrNothing) {
  const std::vector<std::string> options = {"--temp", "--top-k", "--top-p", "--threads", "--seed"};
  EXPECT_EQ(Suggest("--tmep", options), "--temp");
  EXPECT_EQ(Suggest("--tok-p", options), "--top-p");
  EXPECT_EQ(Suggest("--thr", options), "--threads");
  EXPECT_EQ(Suggest("--bananas", options), std::nullopt);
  EXPECT_EQ(DidYouMean("--sede", options), " Did you mean --seed?");
  EXPECT_EQ(DidYouMean("x", options), "");
}

}  // namespace
}  // namespace plimsoll
