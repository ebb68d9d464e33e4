#include "engine/order/decode_turns.h"

#include <algorithm>
#include <memory>
#include <random>

#include <gmock/gmock.h>

namespace plimsoll::engine::order {
namespace {

using memory::policy::PageLayout;
using testing::ElementsAre;
using testing::FloatNear;

constexpr uint32_t kExperts = 64;

PageLayout SmallLayout() { return PageLayout(std::vector<uint32_t>{kExperts}); }

// Sequences of two topics; each topic has half of the experts, each token four of them.
class Topics {
 public:
  explicit Topics(size_t n) {
    for (size_t i = 0; i < n; ++i) {
      Add();
    }
  }
  void Add() {
    decoders_.push_back(std::make_unique<Decoder>(layout_));
    for (int i = 0; i < 64; ++i) {
      Decode(decoders_.size() - 1);
    }
  }
  void Remove(size_t i) { decoders_.erase(decoders_.begin() + static_cast<ptrdiff_t>(i)); }
  void Decode(size_t i) {
    std::vector<uint32_t> experts;
    while (experts.size() < 4) {
      const auto expert =
          static_cast<uint32_t>(draws_() % (kExperts / 2) + Topic(i) * kExperts / 2);
      if (std::ranges::find(experts, expert) == experts.end()) {
        experts.push_back(expert);
      }
    }
    decoders_[i]->rates.Use(0, experts);
  }
  [[nodiscard]] uint32_t Topic(size_t i) const { return i % 2 == 0 ? 0 : 1; }
  [[nodiscard]] std::vector<Decoder*> all() const {
    std::vector<Decoder*> all;
    for (const auto& decoder : decoders_) {
      all.push_back(decoder.get());
    }
    return all;
  }
  [[nodiscard]] std::vector<std::span<const float>> rates() const {
    std::vector<std::span<const float>> rates;
    for (const auto& decoder : decoders_) {
      rates.push_back(decoder->rates.pages());
    }
    return rates;
  }

 private:
  PageLayout layout_ = SmallLayout();
  std::mt19937 draws_{7};
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

TEST(ExpertRates, AreSharesOfTheLastTokens) {
  const PageLayout layout(std::vector<uint32_t>{4, 0, 4});
  ExpertRates rates(layout);
  const std::vector<uint32_t> ones = {1};
  const std::vector<uint32_t> twos = {2};
  rates.Use(0, ones);
  EXPECT_FLOAT_EQ(rates.pages()[1], 1);
  rates.Use(0, twos);
  EXPECT_FLOAT_EQ(rates.pages()[1], 0.5F);
  EXPECT_FLOAT_EQ(rates.pages()[2], 0.5F);
  for (int i = 0; i < 200; ++i) {
    rates.Use(2, twos);
    rates.Use(0, ones);
  }
  EXPECT_THAT(rates.pages(), ElementsAre(0, FloatNear(1, 1e-4F), FloatNear(0, 1e-4F), 0, 0, 0,
                                         FloatNear(1, 1e-4F), 0));
}

TEST(GroupPlanner, GroupsByWhatIsShared) {
  const Topics topics(8);
  GroupPlanner planner(kExperts);
  const DecodeCosts costs = {
      .n_frames = kExperts / 2, .seconds = 0.001, .seconds_per_page = 0, .seconds_per_miss = 0.01};
  const DecodeGroups groups = planner.Cheapest(topics.rates(), costs, {});
  ASSERT_EQ(groups.n_groups, 2U);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(groups.group_of[i], groups.group_of[topics.Topic(i)]);
  }
  EXPECT_NE(groups.group_of[0], groups.group_of[1]);
  EXPECT_LT(groups.seconds_per_token,
            planner.Together(topics.rates(), costs).seconds_per_token / 2);
}

TEST(GroupPlanner, KeepsAllTogetherWhereThatIsCheaper) {
  const Topics topics(8);
  GroupPlanner planner(kExperts);
  DecodeCosts costs = {
      .n_frames = kExperts, .seconds = 0.001, .seconds_per_page = 0, .seconds_per_miss = 0.01};
  EXPECT_EQ(planner.Cheapest(topics.rates(), costs, {}).n_groups, 1U) << "all have frames";
  costs = {.n_frames = 32, .seconds = 10, .seconds_per_page = 0, .seconds_per_miss = 0.01};
  EXPECT_EQ(planner.Cheapest(topics.rates(), costs, {}).n_groups, 1U) << "steps cost much";
  costs.seconds = 0.001;
  EXPECT_EQ(planner.Cheapest(topics.rates(), costs, {.max_still_seconds = 1e-3}).n_groups, 1U)
      << "turns would be too short";
}

// What a step of a topic's, or of both topics', sequences takes in a world where frames hold one.
DecodeMeasure StepOf(const Topics& topics, std::span<const uint32_t> chosen, bool groups_pay) {
  DecodeMeasure measure = {.n_tokens = static_cast<uint32_t>(chosen.size())};
  const bool mixed = std::ranges::any_of(
      chosen, [&](uint32_t i) { return topics.Topic(i) != topics.Topic(chosen.front()); });
  measure.n_used = 4 * chosen.size();
  measure.n_missed = mixed ? measure.n_used / 2 : groups_pay ? 0 : measure.n_used;
  measure.waited = 0.01 * static_cast<double>(measure.n_missed);
  measure.seconds = 0.01 + measure.waited;
  return measure;
}

struct Course {
  uint32_t n_steps_in_groups = 0;
  uint32_t n_mixed_in_groups = 0;
};

Course RunTurns(DecodeTurns& turns, Topics& topics, uint32_t n_steps, uint32_t n_frames,
                bool groups_pay) {
  Course course;
  double seconds = 0;
  const auto all = topics.all();
  for (uint32_t step = 0; step < n_steps; ++step) {
    const auto chosen = turns.Choose(all, n_frames, seconds);
    EXPECT_FALSE(chosen.empty());
    for (const uint32_t i : chosen) {
      topics.Decode(i);
    }
    DecodeMeasure measure = StepOf(topics, chosen, groups_pay);
    if (n_frames >= kExperts) {
      measure = {.n_tokens = measure.n_tokens, .n_used = measure.n_used, .seconds = 0.01};
    }
    turns.Measure(measure);
    seconds += measure.seconds;
    course.n_steps_in_groups += chosen.size() < all.size() ? 1U : 0U;
    course.n_mixed_in_groups += chosen.size() < all.size() && measure.n_missed > 0 ? 1U : 0U;
  }
  return course;
}

TEST(DecodeTurns, TopicsTakeTurnsWhereMemoryIsShort) {
  Topics topics(8);
  DecodeTurns turns(kExperts, 1, {});
  const Course course = RunTurns(turns, topics, 2000, kExperts / 2, true);
  EXPECT_GT(course.n_steps_in_groups, 1200U);
  EXPECT_EQ(course.n_mixed_in_groups, 0U);
}

TEST(DecodeTurns, AllDecodeInEveryStepWhereItIsNot) {
  Topics topics(8);
  DecodeTurns turns(kExperts, 1, {});
  EXPECT_EQ(RunTurns(turns, topics, 2000, kExperts, true).n_steps_in_groups, 0U);
}

// The sums promise what does not come true: tried again ever more seldom.
TEST(DecodeTurns, WhatDoesNotPayIsGivenUp) {
  Topics topics(8);
  DecodeTurns turns(kExperts, 1, {});
  const uint32_t at_first = RunTurns(turns, topics, 2000, kExperts / 2, false).n_steps_in_groups;
  EXPECT_GT(at_first, 0U);
  const uint32_t later = RunTurns(turns, topics, 8000, kExperts / 2, false).n_steps_in_groups;
  EXPECT_LT(later, 8000U / 4);
  EXPECT_LT(later / 4, at_first);
}

// With sequences that come and go, steps of any length and plans that are right or wrong. (Within a
// second three groups would have no turns of some length: there would be none.)
TEST(DecodeTurns, NobodyStandsStillForLong) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 draws(seed);
    Topics topics(12);
    const TurnLimits limits = {.max_still_seconds = seed % 2 == 0 ? 4.0 : 1e9,
                               .max_still_steps = 40 + seed,
                               .min_groups = seed % 4 < 2 ? 1U : 3U};
    DecodeTurns turns(kExperts, 1, limits);
    double seconds = 0;
    uint32_t n_partial = 0;
    for (uint64_t step = 1; step <= 3000; ++step) {
      if (draws() % 50 == 0) {
        topics.Add();
      } else if (draws() % 50 == 0 && topics.all().size() > 4) {
        topics.Remove(draws() % topics.all().size());
      }
      const auto all = topics.all();
      std::vector<std::pair<uint64_t, double>> last;
      for (const Decoder* decoder : all) {
        last.emplace_back(decoder->plan == 0 ? step - 1 : decoder->last_step,
                          decoder->plan == 0 ? seconds : decoder->last_seconds);
      }
      const auto chosen = turns.Choose(all, kExperts / 2, seconds);
      ASSERT_FALSE(chosen.empty());
      n_partial += chosen.size() < all.size() ? 1U : 0U;
      for (uint32_t i = 0; i < all.size(); ++i) {
        if (!std::ranges::binary_search(chosen, i)) {
          ASSERT_LE(step - last[i].first, limits.max_still_steps);
          ASSERT_LE(seconds - last[i].second, limits.max_still_seconds);
        }
      }
      for (const uint32_t i : chosen) {
        topics.Decode(i);
      }
      DecodeMeasure measure = StepOf(topics, chosen, true);
      measure.seconds *= 1 + static_cast<double>(draws() % 3);
      turns.Measure(measure);
      seconds += measure.seconds;
    }
    EXPECT_GT(n_partial, 100U);
  }
}

TEST(DecodeTurns, WithAPromptAllGoOn) {
  Topics topics(8);
  DecodeTurns turns(kExperts, 1, {.min_groups = 2});
  EXPECT_GT(RunTurns(turns, topics, 200, kExperts / 2, true).n_steps_in_groups, 0U);
  ASSERT_GT(turns.n_groups(), 1U);
  turns.ChooseAll(topics.all(), 100);
  EXPECT_EQ(turns.n_groups(), 1U);
  EXPECT_EQ(turns.Choose(topics.all(), kExperts / 2, 100).size(), 8U);
}

}  // namespace
}  // namespace plimsoll::engine::order
