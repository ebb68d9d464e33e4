#include "engine/order/order_policy.h"

#include <random>

#include <gmock/gmock.h>

#include "engine/order/length_predictor.h"

namespace plimsoll::engine::order {
namespace {

using testing::HasSubstr;

std::unique_ptr<OrderPolicy> Policy(std::string_view name) {
  auto made = MakeOrderPolicy(name);
  EXPECT_TRUE(made) << name;
  return std::move(*made);
}

TEST(Volume, IsTheSumOverSteps) {
  for (uint32_t s = 0; s < 20; ++s) {
    for (uint32_t o = 0; o < 20; ++o) {
      double sum = 0;
      for (uint32_t step = 1; step <= o; ++step) {
        sum += s + step;
      }
      EXPECT_DOUBLE_EQ(Volume(s, o), sum);
    }
  }
}

TEST(OrderPolicy, NamesThoseThereAre) {
  for (const std::string_view name : OrderPolicyNames()) {
    EXPECT_TRUE(MakeOrderPolicy(name));
  }
  const auto made = MakeOrderPolicy("lifo");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(made.error().message,
              HasSubstr("fcfs, priority, sjf, svf, svf-1bit, prefix, expert-union"));
}

TEST(OrderPolicy, EachHasItsRank) {
  const WaitingRequest brief = {
      .n_prompt = 1000, .max_output = 10, .output_is_known = true, .priority = 2};
  const WaitingRequest small = {
      .n_prompt = 10, .n_shared = 5, .max_output = 50, .output_is_known = true, .priority = 1};
  EXPECT_EQ(Policy("fcfs")->Rank(brief), Policy("fcfs")->Rank(small));
  EXPECT_GT(Policy("priority")->Rank(brief), Policy("priority")->Rank(small));
  EXPECT_LT(Policy("sjf")->Rank(brief), Policy("sjf")->Rank(small));
  EXPECT_GT(Policy("svf")->Rank(brief), Policy("svf")->Rank(small));
  EXPECT_DOUBLE_EQ(Policy("svf")->Rank(small), Volume(5, 50));
  EXPECT_GT(Policy("prefix")->Rank(brief), Policy("prefix")->Rank(small));
}

TEST(OrderPolicy, GroupsGoWithAnyOrder) {
  const WaitingRequest request = {.n_prompt = 10, .max_output = 50, .output_is_known = true};
  const auto grouped = Policy("svf+expert-union");
  EXPECT_TRUE(grouped->decodes_in_groups());
  EXPECT_TRUE(grouped->looks_at_sharing());
  EXPECT_DOUBLE_EQ(grouped->Rank(request), Volume(10, 50));
  EXPECT_EQ(grouped->ExpectedOutput(request), 50);
  EXPECT_TRUE(Policy("expert-union")->decodes_in_groups());
  EXPECT_FALSE(Policy("svf")->decodes_in_groups());
  EXPECT_FALSE(MakeOrderPolicy("lifo+expert-union"));
}

TEST(OrderPolicy, LengthsAreLearned) {
  const auto svf = Policy("svf");
  const WaitingRequest chat = {.client = "chat", .n_prompt = 100, .max_output = 4096};
  const WaitingRequest essay = {.client = "essay", .n_prompt = 100, .max_output = 4096};
  EXPECT_EQ(svf->Rank(chat), svf->Rank(essay));
  for (int i = 0; i < 50; ++i) {
    svf->Learn(chat, 20);
    svf->Learn(essay, 900);
  }
  EXPECT_NEAR(*svf->ExpectedOutput(chat), 20, 40);
  EXPECT_NEAR(*svf->ExpectedOutput(essay), 900, 40);
  const WaitingRequest capped = {.client = "essay", .n_prompt = 100, .max_output = 64};
  EXPECT_EQ(*svf->ExpectedOutput(capped), 64);
  EXPECT_EQ(Policy("fcfs")->ExpectedOutput(chat), std::nullopt);
}

TEST(OrderPolicy, OneBitKnowsTwoLengths) {
  const auto policy = Policy("svf-1bit");
  const auto request = [](std::string_view client) {
    return WaitingRequest{.client = client, .n_prompt = 100, .max_output = 4096};
  };
  for (int i = 0; i < 100; ++i) {
    policy->Learn(request("a"), 10);
    policy->Learn(request("b"), 30);
    policy->Learn(request("c"), 500);
    policy->Learn(request("d"), 700);
  }
  EXPECT_EQ(policy->Rank(request("a")), policy->Rank(request("b")));
  EXPECT_EQ(policy->Rank(request("c")), policy->Rank(request("d")));
  EXPECT_LT(policy->Rank(request("b")), policy->Rank(request("c")));
  EXPECT_NEAR(*policy->ExpectedOutput(request("a")), 20, 30);
  EXPECT_NEAR(*policy->ExpectedOutput(request("c")), 600, 60);
}

TEST(LengthPredictor, BelievesAClassAsItFills) {
  LengthPredictor predictor;
  EXPECT_EQ(predictor.Predict("a", 10), LengthPredictor::kUnknown);
  EXPECT_EQ(predictor.MeanOfClass(true), LengthPredictor::kUnknown);
  for (int i = 0; i < 100; ++i) {
    predictor.Learn("a", 10, 100);
  }
  EXPECT_NEAR(predictor.Predict("b", 10), 100, 1e-9) << "nothing else is known of b";
  predictor.Learn("b", 10, 500);
  const double once = predictor.Predict("b", 10);
  predictor.Learn("b", 10, 500);
  EXPECT_GT(once, 100);
  EXPECT_LT(once, 300);
  EXPECT_GT(predictor.Predict("b", 10), once);
  EXPECT_LT(predictor.Predict("b", 5000), predictor.Predict("b", 10))
      << "a long prompt of b is another class";
}

TEST(LengthPredictor, ForgetsAndIsBounded) {
  LengthPredictor predictor;
  for (int i = 0; i < 5000; ++i) {
    predictor.Learn("a", 10, 1000);
  }
  for (int i = 0; i < 1000; ++i) {
    predictor.Learn("a", 10, 10);
  }
  EXPECT_LT(predictor.Predict("a", 10), 60);
  for (uint32_t i = 0; i < 20'000; ++i) {
    predictor.Learn(std::to_string(i), 10, 7);
  }
  EXPECT_NEAR(predictor.Predict("19999", 10), 7, 0.1) << "by the length of its prompt";
}

// On answers that scatter about their class's mean, the forecast is better than the mean of all.
TEST(LengthPredictor, IsBetterThanTheMeanOfAll) {
  std::mt19937_64 random(1);
  LengthPredictor predictor;
  double error = 0;
  double error_of_mean = 0;
  double sum = 0;
  for (int i = 0; i < 3000; ++i) {
    const uint64_t kind = random() % 5;
    const auto n_prompt = static_cast<uint32_t>(50U << (random() % 4));
    const double usual = 20.0 * static_cast<double>(1U << kind) + 0.2 * n_prompt;
    std::lognormal_distribution<double> length(std::log(usual), 0.4);
    const double n_output = std::ceil(length(random));
    const std::string client(1, static_cast<char>('a' + kind));
    if (i > 500) {
      error += std::abs(predictor.Predict(client, n_prompt) - n_output);
      error_of_mean += std::abs(sum / i - n_output);
    }
    sum += n_output;
    predictor.Learn(client, n_prompt, static_cast<uint32_t>(n_output));
  }
  EXPECT_LT(error, 0.6 * error_of_mean);
}

}  // namespace
}  // namespace plimsoll::engine::order
