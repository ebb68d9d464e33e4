#include "memory/policy/guess_gate.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "memory/policy/layer_pairs.h"

namespace plimsoll::memory::policy {
namespace {

constexpr uint32_t kGateLayers = 3;
constexpr uint32_t kGateExperts = 16;

PageLayout GateLayout() { return PageLayout(std::vector<uint32_t>(kGateLayers, kGateExperts)); }

LayerVisit VisitOf(uint32_t layer, uint64_t step, std::span<const uint32_t> experts,
                   uint32_t n_tokens = 1) {
  return {.layer = layer,
          .step = step,
          .phase = n_tokens == 1 ? Phase::kDecode : Phase::kPrefill,
          .n_tokens = n_tokens,
          .experts = experts,
          .probabilities = {},
          .near_experts = {},
          .near_probabilities = {}};
}

bool AlwaysMissing(PageId /*page*/) { return true; }

TEST(GuessGateTest, OpensForGuessesThatComeTrueAndForNoOthers) {
  const PageLayout layout = GateLayout();
  GuessGate gate(layout);
  const uint32_t guesses[] = {3, 7, 11};
  // In layer 1 the first comes true always and the second now and then; in layer 2 none does.
  for (uint64_t step = 0; step < 200; ++step) {
    const uint32_t often[] = {3, step % 4 == 0 ? 7U : 0U};
    static_cast<void>(gate.Choose(1, guesses, AlwaysMissing));
    gate.Visit(VisitOf(1, step, often));
    const uint32_t never[] = {1, 2};
    static_cast<void>(gate.Choose(2, guesses, AlwaysMissing));
    gate.Visit(VisitOf(2, step, never));
  }
  const auto worth = gate.Choose(1, guesses, AlwaysMissing);
  ASSERT_EQ(worth.size(), 1U);
  EXPECT_EQ(worth.front(), layout.page(1, 3));
  EXPECT_GT(gate.Chance(1, 0), 0.9F);
  EXPECT_NEAR(gate.Chance(1, 1), 0.25, 0.1);
  EXPECT_TRUE(gate.Choose(2, guesses, AlwaysMissing).empty());
  EXPECT_EQ(gate.stats().judged, 200U * 6);
  EXPECT_EQ(gate.stats().right, 250U);
}

TEST(GuessGateTest, ClosesWhenATextTurnsAndOpensAgain) {
  const PageLayout layout = GateLayout();
  GuessGate gate(layout);
  const uint32_t guess[] = {5};
  const uint32_t other[] = {6};
  const auto is_open = [&](bool comes_true, uint64_t n) {
    for (uint64_t step = 0; step < n; ++step) {
      static_cast<void>(gate.Choose(1, guess, AlwaysMissing));
      gate.Visit(VisitOf(1, step, comes_true ? guess : other));
    }
    return !gate.Choose(1, guess, AlwaysMissing).empty();
  };
  EXPECT_FALSE(is_open(false, 0));  // nothing is known: nothing is worth it
  EXPECT_TRUE(is_open(true, 50));
  EXPECT_FALSE(is_open(false, 100));
  EXPECT_TRUE(is_open(true, 150));
}

TEST(GuessGateTest, JudgesGuessesAtMissingPagesOfTheirOwnMomentOnly) {
  const PageLayout layout = GateLayout();
  GuessGate gate(layout);
  const uint32_t guesses[] = {3, 7};
  const uint32_t chosen[] = {3, 7};
  const PageId there = layout.page(1, 3);
  EXPECT_TRUE(gate.Choose(1, guesses, [&](PageId page) { return page != there; }).empty());
  gate.Visit(VisitOf(1, 1, chosen));
  EXPECT_EQ(gate.stats().judged, 1U);
  EXPECT_EQ(gate.stats().right, 1U);
  gate.Visit(VisitOf(1, 2, chosen));  // nothing was guessed for it
  EXPECT_EQ(gate.stats().judged, 1U);
  static_cast<void>(gate.Choose(2, guesses, AlwaysMissing));
  gate.Visit(VisitOf(0, 3, chosen));  // another layer came instead
  gate.Visit(VisitOf(2, 3, chosen));
  EXPECT_EQ(gate.stats().judged, 1U);
}

TEST(GuessGateTest, KnowsItsNames) {
  EXPECT_EQ(GuessByNamed("").value(), GuessBy::kRouter);
  EXPECT_EQ(GuessByNamed("router").value(), GuessBy::kRouter);
  EXPECT_EQ(GuessByNamed("pairs").value(), GuessBy::kPairs);
  EXPECT_EQ(GuessByNamed("off").value(), GuessBy::kNothing);
  EXPECT_EQ(GuessByNamed("yes").error().kind, ErrorKind::kUsage);
}

uint32_t Likeliest(const LayerPairs& pairs, uint32_t n) {
  std::vector<float> expected(n);
  pairs.Expect(expected);
  return static_cast<uint32_t>(std::ranges::max_element(expected) - expected.begin());
}

// A layer without experts between two others, which have different numbers of them.
TEST(LayerPairsTest, LearnsWhatGoesWithTheLayerBefore) {
  const PageLayout layout(std::vector<uint32_t>{16, 0, 8});
  LayerPairs pairs(layout);
  for (uint64_t step = 1; step <= 40; ++step) {
    const uint32_t expert = static_cast<uint32_t>(step * 7 % 16);
    const uint32_t follower = expert / 2;
    pairs.Visit(VisitOf(0, step, {&expert, 1}));
    pairs.Visit(VisitOf(2, step, {&follower, 1}));
  }
  for (uint32_t expert = 0; expert < 16; ++expert) {
    pairs.Visit(VisitOf(0, 100 + expert, {&expert, 1}));
    EXPECT_EQ(Likeliest(pairs, 8), expert / 2);
  }
  const uint32_t last = 0;
  pairs.Visit(VisitOf(2, 200, {&last, 1}));  // the last layer: nothing is behind it
  std::vector<float> expected(16, 1);
  pairs.Expect(expected);
  EXPECT_EQ(std::accumulate(expected.begin(), expected.end(), 0.0F), 0);
}

// The later layer leaves out all but the last token of a prompt, which is longer than what is kept.
TEST(LayerPairsTest, PairsTheLastTokensOfAPrompt) {
  const PageLayout layout(std::vector<uint32_t>{16, 16});
  LayerPairs pairs(layout);
  for (uint64_t step = 1; step <= 10; ++step) {
    std::vector<uint32_t> prompt(40, 2);
    prompt.back() = 9;
    const uint32_t behind = 13;
    pairs.Visit(VisitOf(0, step, prompt, 40));
    pairs.Visit(VisitOf(1, step, {&behind, 1}));
  }
  const uint32_t expert = 9;
  pairs.Visit(VisitOf(0, 11, {&expert, 1}));
  EXPECT_EQ(Likeliest(pairs, 16), 13U);
}

}  // namespace
}  // namespace plimsoll::memory::policy
