#include "kernels/codebook_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include <gmock/gmock.h>

#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kSmallBook = 256;
constexpr size_t kSmallWidth = 4;
using BookRow = std::array<float, kSmallBook>;

class EverySearch : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!GetParam()->supported()) {
      GTEST_SKIP() << GetParam()->name << " does not run on this CPU";
    }
  }
  [[nodiscard]] const CodebookSearch& search() const { return CodebookSearchOf(*GetParam()); }
};

struct BookSums {
  alignas(32) BookRow products;
  alignas(32) BookRow squares;
  alignas(32) BookRow weights;
};

TEST_P(EverySearch, SumsFromTheFirstDigitToTheLast) {
  testing::Random random(1);
  alignas(32) std::array<float, kSmallWidth * kSmallBook> digits;
  std::array<float, kSmallWidth> factors;
  std::array<float, kSmallWidth> weights;
  for (float& digit : digits) {
    digit = 10 * random.Symmetric();
  }
  for (size_t i = 0; i < kSmallWidth; ++i) {
    factors[i] = random.Symmetric();
    weights[i] = random.Symmetric();
  }
  BookSums sums;
  search().sum(digits.data(), kSmallWidth, kSmallBook, factors.data(), weights.data(),
               {sums.products.data(), sums.squares.data(), sums.weights.data()});
  BookSums some;
  search().sum(digits.data(), kSmallWidth, kSmallBook, factors.data(), weights.data(),
               {some.products.data(), some.squares.data()});
  for (size_t e = 0; e < kSmallBook; ++e) {
    float product = 0;
    float square = 0;
    float weight = 0;
    for (size_t i = 0; i < kSmallWidth; ++i) {
      const float g = digits[i * kSmallBook + e];
      product += factors[i] * g;
      square += weights[i] * (g * g);
      weight += weights[i] * g;
    }
    ASSERT_EQ(sums.products[e], product) << e;
    ASSERT_EQ(sums.squares[e], square) << e;
    ASSERT_EQ(sums.weights[e], weight) << e;
    ASSERT_EQ(some.products[e], product) << e;
    ASSERT_EQ(some.squares[e], square) << e;
  }
}

TEST_P(EverySearch, FindsTheHighestLineOfEachScale) {
  testing::Random random(2);
  alignas(32) BookRow intercepts;
  alignas(32) BookRow slopes;
  for (size_t e = 0; e < kSmallBook; ++e) {
    intercepts[e] = random.Symmetric();
    slopes[e] = random.Symmetric() + 1;
  }
  std::array<float, 11> scales;
  for (size_t i = 0; i < scales.size(); ++i) {
    scales[i] = 0.2F * static_cast<float>(i);
  }
  for (size_t n_scales = 1; n_scales <= scales.size(); ++n_scales) {
    std::array<float, scales.size()> highest;
    search().highest(intercepts.data(), slopes.data(), kSmallBook, scales.data(), n_scales,
                     highest.data());
    for (size_t i = 0; i < n_scales; ++i) {
      float best = intercepts[0] - scales[i] * slopes[0];
      for (size_t e = 0; e < kSmallBook; ++e) {
        best = std::max(best, intercepts[e] - scales[i] * slopes[e]);
      }
      EXPECT_EQ(highest[i], best) << i << " of " << n_scales;
      const size_t entry =
          search().best_entry(intercepts.data(), slopes.data(), kSmallBook, scales[i], 1);
      EXPECT_EQ(intercepts[entry] - scales[i] * slopes[entry], best);
    }
  }
}

TEST_P(EverySearch, OfEqualLinesTheFirstIsByItsPlaceInSixtyFour) {
  alignas(32) BookRow intercepts = {};
  alignas(32) BookRow slopes = {};
  const auto best = [&](float factor) {
    return search().best_entry(intercepts.data(), slopes.data(), kSmallBook, 1, factor);
  };
  EXPECT_EQ(best(1), 0U);
  intercepts[70] = intercepts[9] = intercepts[200] = intercepts[136] = 1;
  EXPECT_EQ(best(1), 70U);  // place 6; 9 has place 9, 200 and 136 have 8
  intercepts[70] = 0;
  EXPECT_EQ(best(1), 136U);
  intercepts[9] = std::nextafter(1.0F, 2.0F);
  EXPECT_EQ(best(1), 9U);
  EXPECT_EQ(best(0x1p-149F), 136U);  // what the factor rounds alike is alike
}

INSTANTIATE_TEST_SUITE_P(, EverySearch, ::testing::ValuesIn(AllKernelSets()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace plimsoll::kernels
