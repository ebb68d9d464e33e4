#include "engine/miss_curve.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/rng.h"
#include "memory/trace/trace_file.h"
#include "tests/shared_folder.h"

namespace plimsoll::engine {
namespace {

using memory::policy::Phase;
using memory::trace::Trace;

// Two layers of 16 experts, two a token: the first always chooses the same, the second any.
Trace HalfRandomTrace(uint32_t n_tokens) {
  Trace trace;
  trace.layers.assign(2, {.n_experts = 16, .n_active = 2, .n_ranked = 2, .expert_bytes = 0});
  for (uint32_t token = 0; token < n_tokens; ++token) {
    for (uint32_t layer = 0; layer < 2; ++layer) {
      trace.visits.push_back({.layer = layer,
                              .pass = token,
                              .phase = Phase::kDecode,
                              .n_tokens = 1,
                              .first = trace.choices.size()});
      const uint32_t first = layer == 0 ? 0 : Philox(1, token, 0)[0] % 15;
      trace.choices.push_back({.expert = first, .probability = 0.5F});
      trace.choices.push_back({.expert = first + 1, .probability = 0.5F});
    }
  }
  return trace;
}

TEST(MissCurve, FallsFromEverythingToNothing) {
  for (const double active : {0.01, 0.05, 0.125, 0.5}) {
    const MissCurve curve = MissCurve::Typical(active);
    double last = 1;
    EXPECT_EQ(curve.At(0), 1);
    for (double share = 0.005; share < 1; share += 0.005) {
      EXPECT_LE(curve.At(share), last) << active << " " << share;
      EXPECT_LE(curve.At(share), 1 - share + 1e-9);  // chance does as well
      last = curve.At(share);
    }
    EXPECT_EQ(curve.At(1), 0);
  }
  // The more experts a token uses, the more frames it takes to hold as many of them.
  EXPECT_GT(MissCurve::Typical(0.125).At(0.25), MissCurve::Typical(0.05).At(0.25));
}

TEST(MissCurve, IsStraightBetweenPoints) {
  const MissCurve curve(MissCurve::Source::kProfile, {{0.25, 0.4}, {0.5, 0.2}});
  EXPECT_EQ(curve.At(0.25), 0.4);
  EXPECT_NEAR(curve.At(0.375), 0.3, 1e-12);
  EXPECT_NEAR(curve.At(0.125), 0.7, 1e-12);
  EXPECT_NEAR(curve.At(0.75), 0.1, 1e-12);
}

TEST(MissCurve, CountsWhatTheDefaultPolicyMisses) {
  const std::vector<double> shares = {0.25, 0.5, 0.95};
  const auto curve = MissCurve::OfTrace(HalfRandomTrace(2000), shares);
  ASSERT_TRUE(curve) << curve.error().message;
  EXPECT_EQ(curve->source(), MissCurve::Source::kRecorded);
  // Two pages of the first layer are always there; of the random layer's 16 the other 6 frames hold
  // 6, or 14 with 16. A pair of neighbours is hit a little otherwise than single pages.
  EXPECT_NEAR(curve->At(0.25), 0.5 * (1 - 6.0 / 16), 0.05);
  EXPECT_NEAR(curve->At(0.5), 0.5 * (1 - 14.0 / 16), 0.03);
  EXPECT_LT(curve->At(0.95), 0.02);
}

TEST(MissCurve, SaysWhenNothingWasDecoded) {
  Trace trace = HalfRandomTrace(3);
  for (auto& visit : trace.visits) {
    visit.phase = Phase::kPrefill;
  }
  const double share = 0.5;
  EXPECT_FALSE(MissCurve::OfTrace(trace, {&share, 1}));
}

TEST(MissCurve, KnowsTheTraceOfAnotherModel) {
  const Trace trace = HalfRandomTrace(1);
  model::HyperParams hp;
  hp.layers.assign(2, {.n_experts = 16, .n_experts_active = 2});
  EXPECT_TRUE(CheckTraceFits(trace, hp));
  hp.layers[1].n_experts = 8;
  const auto refused = CheckTraceFits(trace, hp);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("its layer 1 has 16 experts, the model's 8"),
            std::string::npos)
      << refused.error().message;
  hp.layers.assign(3, {.n_experts = 16, .n_experts_active = 2});
  EXPECT_FALSE(CheckTraceFits(trace, hp));
}

TEST(MissProfile, IsKeptForItsModel) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("plimsoll_misses_" + std::to_string(::getpid()));
  const io::MeasurementCache cache(folder);
  model::HyperParams hp;
  hp.architecture = "olmoe";
  hp.name = "Some Model\nwith a line";
  EXPECT_FALSE(LoadMissProfile(cache, ProfileName(hp, 7)));
  const MissCurve curve(MissCurve::Source::kRecorded, {{0.125, 0.5}, {0.5, 0.125}});
  ASSERT_TRUE(StoreMissProfile(cache, ProfileName(hp, 7), curve));
  const auto known = LoadMissProfile(cache, ProfileName(hp, 7));
  EXPECT_FALSE(LoadMissProfile(cache, ProfileName(hp, 8)));
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(known);
  EXPECT_EQ(known->source(), MissCurve::Source::kProfile);
  ASSERT_EQ(known->points().size(), 2U);
  EXPECT_EQ(known->At(0.125), 0.5);
  EXPECT_EQ(known->At(0.5), 0.125);
}

TEST(MissProfile, RemembersWhatWasReached) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("plimsoll_reach_" + std::to_string(::getpid()));
  const io::MeasurementCache cache(folder);
  EXPECT_EQ(LoadReached(cache, "a model"), kReachedTypical);
  ASSERT_TRUE(StoreReached(cache, "a model", 0.5));
  EXPECT_EQ(LoadReached(cache, "a model"), 0.5);
  EXPECT_EQ(LoadReached(cache, "another"), kReachedTypical);
  ASSERT_TRUE(StoreReached(cache, "a model", 7));
  EXPECT_EQ(LoadReached(cache, "a model"), 1);
  std::filesystem::remove_all(folder);
}

struct Measured {
  const char* file;
  double active_share;
};

class TypicalCurve : public testing::TestWithParam<Measured> {};

// docs/paging.md says how far it may be off. A short trace's first uses would be hits in the long
// run as often as anything is there: they are counted so.
TEST_P(TypicalCurve, IsNearRecordedRouting) {
  const auto path = tests::SharedFolder() / "data" / "traces" / GetParam().file;
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is not there";
  }
  const auto trace = memory::trace::ReadTrace(path);
  ASSERT_TRUE(trace) << trace.error().message;
  const std::vector<double> shares = {0.06, 0.125, 0.25, 0.5, 1};
  const auto curve = MissCurve::OfTrace(*trace, shares);
  ASSERT_TRUE(curve) << curve.error().message;
  const double first_uses = curve->points().back().miss_ratio;
  const MissCurve typical = MissCurve::Typical(GetParam().active_share);
  for (const double share : {0.06, 0.125, 0.25, 0.5}) {
    EXPECT_NEAR(typical.At(share), curve->At(share) - share * first_uses, 0.06) << share;
  }
}

INSTANTIATE_TEST_SUITE_P(Traces, TypicalCurve,
                         testing::Values(Measured{"qwen.route.csv", 6.0 / 128},
                                         Measured{"gemma.route.csv", 6.0 / 128},
                                         Measured{"gptoss.route.csv", 2.0 / 128}));

}  // namespace
}  // namespace plimsoll::engine
