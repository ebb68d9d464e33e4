#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"

namespace plimsoll::sampling {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Every filter off: the distribution is the softmax of the logits.
SamplerParams Plain() {
  SamplerParams params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  return params;
}

SamplerParams Greedy() {
  SamplerParams params = Plain();
  params.temperature = 0;
  return params;
}

TokenId SampleOnce(const SamplerParams& params, std::vector<float> logits,
                   std::vector<TokenId> history = {}, uint64_t position = 0) {
  return Sampler(logits.size()).Sample(params, logits, history, position);
}

// How often each token is drawn over `n` positions, as shares.
std::vector<double> Shares(const SamplerParams& params, const std::vector<float>& logits, int n) {
  Sampler sampler(logits.size());
  std::vector<double> shares(logits.size(), 0);
  for (int i = 0; i < n; ++i) {
    std::vector<float> scratch = logits;
    shares[static_cast<size_t>(sampler.Sample(params, scratch, {}, static_cast<uint64_t>(i)))] += 1;
  }
  std::for_each(shares.begin(), shares.end(), [&](double& share) { share /= n; });
  return shares;
}

TEST(SamplerGreedy, TakesTheLargestAndBreaksTiesDownwards) {
  EXPECT_EQ(SampleOnce(Greedy(), {0.5F, 2, -1, 2}), 1);
  EXPECT_EQ(SampleOnce(Greedy(), {-kInf, -3, kNan, -3}), 1);
  EXPECT_EQ(SampleOnce(Greedy(), {0, kInf, 7}), 1);
}

TEST(SamplerGreedy, AnswersSomethingWhenEverythingIsForbidden) {
  EXPECT_EQ(SampleOnce(Greedy(), {-kInf, -kInf}), 0);
  EXPECT_EQ(SampleOnce(Plain(), {kNan, -kInf}), 0);
}

TEST(SamplerDraw, SharesAreTheSoftmax) {
  const std::vector<float> logits = {0, std::log(2.0F), std::log(5.0F), -kInf, kNan};
  const auto shares = Shares(Plain(), logits, 40000);
  EXPECT_NEAR(shares[0], 1.0 / 8, 0.01);
  EXPECT_NEAR(shares[1], 2.0 / 8, 0.01);
  EXPECT_NEAR(shares[2], 5.0 / 8, 0.01);
  EXPECT_EQ(shares[3], 0);
  EXPECT_EQ(shares[4], 0);
}

TEST(SamplerDraw, TemperatureDividesTheLogits) {
  SamplerParams params = Plain();
  params.temperature = 2;
  const auto shares = Shares(params, {0, 2 * std::log(3.0F)}, 40000);
  EXPECT_NEAR(shares[1], 0.75, 0.01);
}

TEST(SamplerDraw, DependsOnSeedAndPositionAlone) {
  std::vector<float> logits(50);
  std::iota(logits.begin(), logits.end(), 0.0F);
  std::for_each(logits.begin(), logits.end(), [](float& x) { x *= 0.05F; });
  SamplerParams params = Plain();
  params.seed = 11;
  std::vector<TokenId> first;
  Sampler sampler(logits.size());
  for (uint64_t position = 0; position < 40; ++position) {
    auto scratch = logits;
    first.push_back(sampler.Sample(params, scratch, {}, position));
  }
  for (uint64_t position = 40; position-- > 0;) {
    EXPECT_EQ(SampleOnce(params, logits, {}, position), first[position]);
  }
  params.seed = 12;
  std::vector<TokenId> other;
  for (uint64_t position = 0; position < 40; ++position) {
    other.push_back(SampleOnce(params, logits, {}, position));
  }
  EXPECT_NE(first, other);
}

TEST(SamplerDraw, TinyAndHugeTemperaturesStayInRange) {
  SamplerParams params = Plain();
  params.temperature = 1e-30F;
  EXPECT_EQ(Shares(params, {1, 1.5F, 1.25F}, 100)[1], 1);
  params.temperature = std::numeric_limits<float>::max();
  EXPECT_NEAR(Shares(params, {-1000, 1000}, 20000)[0], 0.5, 0.02);
}

TEST(SamplerDraw, OverflownLogitsStillGiveAToken) {
  EXPECT_EQ(SampleOnce(Plain(), {0, kInf, 3}), 1);
  EXPECT_NEAR(Shares(Plain(), {kInf, 0, kInf}, 10000)[0], 0.5, 0.02);
}

TEST(SamplerTopK, KeepsTheBestWithTiesToTheLowerId) {
  SamplerParams params = Plain();
  params.top_k = 2;
  const auto shares = Shares(params, {1, 3, 1, 0, 1}, 20000);
  EXPECT_GT(shares[0], 0.05);
  EXPECT_GT(shares[1], 0.5);
  EXPECT_EQ(shares[2] + shares[3] + shares[4], 0);
}

TEST(SamplerTopP, KeepsTheFewestThatReachTheShare) {
  SamplerParams params = Plain();
  params.top_p = 0.7F;  // shares 0.5, 0.25, 0.15, 0.1: two of them reach 0.75
  const std::vector<float> logits = {std::log(0.1F), std::log(0.5F), std::log(0.15F),
                                     std::log(0.25F)};
  const auto shares = Shares(params, logits, 20000);
  EXPECT_NEAR(shares[1], 2.0 / 3, 0.02);
  EXPECT_NEAR(shares[3], 1.0 / 3, 0.02);
  EXPECT_EQ(shares[0] + shares[2], 0);
  params.top_p = 0;
  EXPECT_EQ(Shares(params, logits, 100)[1], 1);
}

TEST(SamplerTopP, AgreesWithASlowOneOnLargeVocabularies) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1.5F);
  for (const float top_p : {0.1F, 0.5F, 0.99F}) {
    std::vector<float> logits(3000);
    std::generate(logits.begin(), logits.end(), [&] { return normal(random); });
    std::vector<size_t> order(logits.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    double total = 0;
    for (const float x : logits) {
      total += std::exp(static_cast<double>(x));
    }
    double kept_weight = 0;
    size_t n_kept = 0;
    while (kept_weight < static_cast<double>(top_p) * total) {
      kept_weight += std::exp(static_cast<double>(logits[order[n_kept++]]));
    }
    SamplerParams params = Plain();
    params.top_p = top_p;
    for (uint64_t position = 0; position < 30; ++position) {
      double sum = 0;
      size_t i = 0;
      const double target = UniformAt(params.seed, position) * kept_weight;
      while (i + 1 < n_kept && sum + std::exp(static_cast<double>(logits[order[i]])) < target) {
        sum += std::exp(static_cast<double>(logits[order[i++]]));
      }
      EXPECT_EQ(SampleOnce(params, logits, {}, position), static_cast<TokenId>(order[i]))
          << top_p << " at " << position;
    }
  }
}

TEST(SamplerMinP, DropsWhatIsUnlikelyBesideTheBest) {
  SamplerParams params = Plain();
  params.min_p = 0.3F;
  const auto shares = Shares(params, {0, std::log(0.29F), std::log(0.31F)}, 20000);
  EXPECT_EQ(shares[1], 0);
  EXPECT_NEAR(shares[2], 0.31 / 1.31, 0.02);
  params.min_p = 1;
  EXPECT_EQ(Shares(params, {0, 2, 1}, 100)[1], 1);
}

TEST(SamplerFilters, LookAtTheLogitsBeforeTheTemperature) {
  SamplerParams params = Plain();
  params.temperature = 100;  // flat, but only among what min-p kept
  params.min_p = 0.5F;
  const auto shares = Shares(params, {0, std::log(0.1F), std::log(0.9F)}, 20000);
  EXPECT_EQ(shares[1], 0);
  EXPECT_NEAR(shares[0], 0.5, 0.02);
}

TEST(SamplerPenalties, RepeatDividesPositiveAndMultipliesNegativeLogits) {
  SamplerParams params = Greedy();
  params.repeat_penalty = 2;
  EXPECT_EQ(SampleOnce(params, {3, 2}, {0}), 1);        // 1.5 against 2
  EXPECT_EQ(SampleOnce(params, {-1, -1.5F}, {0}), 1);   // -2 against -1.5
  EXPECT_EQ(SampleOnce(params, {5, 2}, {0, 0, 0}), 0);  // once, however often it occurred
}

TEST(SamplerPenalties, FrequencyCountsAndPresenceDoesNot) {
  SamplerParams params = Greedy();
  params.frequency_penalty = 1;
  EXPECT_EQ(SampleOnce(params, {3, 1.5F}, {0}), 0);
  EXPECT_EQ(SampleOnce(params, {3, 1.5F}, {0, 0}), 1);
  params.frequency_penalty = 0;
  params.presence_penalty = 1;
  EXPECT_EQ(SampleOnce(params, {3, 1.5F}, {0, 0}), 0);
  EXPECT_EQ(SampleOnce(params, {3, 2.5F}, {0, 0}), 1);
}

TEST(SamplerPenalties, WindowEndsAtTheLastTokens) {
  SamplerParams params = Greedy();
  params.presence_penalty = 10;
  params.repeat_last_n = 2;
  EXPECT_EQ(SampleOnce(params, {3, 2, 1}, {0, 1, 2}), 0);
  params.repeat_last_n = -1;
  EXPECT_EQ(SampleOnce(params, {3, 2, 1, 0}, {0, 1, 2}), 3);
  params.repeat_last_n = 0;
  EXPECT_EQ(SampleOnce(params, {3, 2, 1}, {2, 1, 0}), 0);
}

TEST(SamplerPenalties, LeaveNothingBehindAndIgnoreForeignTokens) {
  SamplerParams params = Greedy();
  params.frequency_penalty = 1;
  Sampler sampler(2);
  const std::vector<TokenId> history = {0, 0, -1, 99};
  for (int i = 0; i < 3; ++i) {
    std::vector<float> logits = {2.5F, 0};
    EXPECT_EQ(sampler.Sample(params, logits, history, 0), 0);
    EXPECT_EQ(logits[0], 0.5F);
  }
}

TEST(SamplerBias, AddsAndForbids) {
  SamplerParams params = Greedy();
  params.logit_bias = {{0, -kInf}, {2, 1.5F}, {1000, 5}};
  EXPECT_EQ(SampleOnce(params, {9, 2, 1}), 2);
  params = Plain();
  params.logit_bias = {{1, -kInf}};
  EXPECT_EQ(Shares(params, {0, 5, 0}, 1000)[1], 0);
}

TEST(SamplerVocabulary, PaddingAfterTheVocabularyIsNeverDrawn) {
  Sampler sampler(2);
  std::vector<float> logits = {0, 1, 50, 60};
  EXPECT_EQ(sampler.Sample(Greedy(), logits, {}, 0), 1);
}

TEST(SamplerParams, ValidateNamesTheValueOutOfRange) {
  EXPECT_TRUE(SamplerParams{}.Validate());
  const auto refused = [](auto change) {
    SamplerParams params;
    change(params);
    const auto result = params.Validate();
    return result ? std::string("accepted") : result.error().message;
  };
  using testing::HasSubstr;
  EXPECT_THAT(refused([](auto& p) { p.temperature = -1; }), HasSubstr("temperature"));
  EXPECT_THAT(refused([](auto& p) { p.temperature = kNan; }), HasSubstr("temperature"));
  EXPECT_THAT(refused([](auto& p) { p.top_p = 1.5F; }), HasSubstr("top-p"));
  EXPECT_THAT(refused([](auto& p) { p.min_p = -0.1F; }), HasSubstr("min-p"));
  EXPECT_THAT(refused([](auto& p) { p.repeat_penalty = 0; }), HasSubstr("repeat penalty"));
  EXPECT_THAT(refused([](auto& p) { p.presence_penalty = kInf; }), HasSubstr("presence"));
  EXPECT_THAT(refused([](auto& p) { p.frequency_penalty = kNan; }), HasSubstr("frequency"));
  EXPECT_THAT(refused([](auto& p) { p.repeat_last_n = -2; }), HasSubstr("repeat-last-n"));
  EXPECT_THAT(refused([](auto& p) { p.logit_bias = {{3, kInf}}; }), HasSubstr("token 3"));
  EXPECT_THAT(refused([](auto& p) { p.logit_bias = {{-3, 0.0F}}; }), HasSubstr("token -3"));
}

}  // namespace
}  // namespace plimsoll::sampling
