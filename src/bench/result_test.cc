#include "bench/result.h"

#include <cmath>

#include <gmock/gmock.h>

namespace plimsoll::bench {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

TEST(SpreadOf, IsMeanSampleDeviationAndMedian) {
  const std::vector<double> odd = {3, 1, 8};
  EXPECT_DOUBLE_EQ(SpreadOf(odd).mean, 4);
  EXPECT_DOUBLE_EQ(SpreadOf(odd).stddev, std::sqrt((1.0 + 9 + 16) / 2));
  EXPECT_DOUBLE_EQ(SpreadOf(odd).median, 3);
  const std::vector<double> even = {3, 1, 8, 4};
  EXPECT_DOUBLE_EQ(SpreadOf(even).median, 3.5);
  const std::vector<double> one = {5};
  EXPECT_DOUBLE_EQ(SpreadOf(one).mean, 5);
  EXPECT_DOUBLE_EQ(SpreadOf(one).stddev, 0);
  EXPECT_DOUBLE_EQ(SpreadOf(one).median, 5);
}

TEST(RatesOf, CountsWorkAgainstThePeakOfItsKind) {
  Subject subject;
  subject.is_quantized = true;
  subject.peak = {.read_bytes = 1000, .int8_dots = 400, .fmas = 100};
  TestResult result;
  result.test = {.n_prompt = 30, .n_gen = 10};
  result.samples_ns = {1'000'000'000, 3'000'000'000};  // 2 s in the mean
  result.work = {.read_bytes = 500, .weight_multiply_adds = 80, .attention_multiply_adds = 40};

  const Rates rates = RatesOf(subject, result);
  EXPECT_DOUBLE_EQ(rates.ns.mean, 2e9);
  EXPECT_THAT(rates.samples_tokens, ElementsAre(DoubleEq(40), DoubleEq(40.0 / 3)));
  EXPECT_DOUBLE_EQ(rates.tokens.mean, (40 + 40.0 / 3) / 2);
  EXPECT_DOUBLE_EQ(rates.read_bytes, 250);
  EXPECT_DOUBLE_EQ(rates.bandwidth_share, 0.25);
  EXPECT_DOUBLE_EQ(rates.multiply_adds, 60);
  EXPECT_DOUBLE_EQ(rates.arithmetic_share, (80.0 / 400 + 40.0 / 100) / 2);

  subject.is_quantized = false;
  EXPECT_DOUBLE_EQ(RatesOf(subject, result).arithmetic_share, (80.0 / 100 + 40.0 / 100) / 2);
}

}  // namespace
}  // namespace plimsoll::bench
