#include "model/top_k.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::model {
namespace {

std::vector<uint32_t> Chosen(std::vector<float> scores, size_t k) {
  std::vector<uint32_t> chosen(k);
  ChooseTop(scores, chosen);
  return chosen;
}

TEST(ChooseTop, AscendingIdsAndTiesToTheLower) {
  EXPECT_EQ(Chosen({1, 5, 3, 4, 2}, 2), (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(Chosen({2, 2, 2, 2}, 3), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(Chosen({0, 1, 1, 0, 1}, 2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(Chosen({7}, 1), (std::vector<uint32_t>{0}));
}

TEST(ChooseTop, IsTheSortedPrefix) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const size_t n = 1 + random() % 64;
    const size_t k = 1 + random() % n;
    std::vector<float> scores(n);
    std::ranges::generate(scores, [&] { return static_cast<float>(random() % 16); });
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
    order.resize(k);
    std::ranges::sort(order);
    EXPECT_EQ(Chosen(scores, k), order);
  }
}

TEST(ChooseTop, NotANumberDoesNotCrash) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const uint32_t id : Chosen({nan, 1, nan, 3, nan}, 4)) {
    EXPECT_LT(id, 5U);
  }
}

}  // namespace
}  // namespace plimsoll::model
