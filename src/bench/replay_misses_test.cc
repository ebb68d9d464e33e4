#include "bench/replay_misses.h"

#include <gtest/gtest.h>

namespace plimsoll::bench {
namespace {

using memory::policy::Phase;
using memory::trace::Trace;

// One layer of 4 experts, one a token: a prompt of two tokens (0, 1), then 0, 1, 2, 0, 1, 2, ...
Trace Circle(uint32_t n_decoded) {
  Trace trace;
  trace.layers = {{.n_experts = 4, .n_active = 1, .n_ranked = 1, .expert_bytes = 0}};
  const auto add = [&](uint32_t pass, Phase phase, std::vector<uint32_t> experts) {
    trace.visits.push_back({.layer = 0,
                            .pass = pass,
                            .phase = phase,
                            .n_tokens = static_cast<uint32_t>(experts.size()),
                            .first = trace.choices.size()});
    for (const uint32_t expert : experts) {
      trace.choices.push_back({.expert = expert, .probability = 1});
    }
  };
  add(0, Phase::kPrefill, {0, 1});
  for (uint32_t i = 0; i < n_decoded; ++i) {
    add(i + 1, Phase::kDecode, {i % 3});
  }
  return trace;
}

TEST(ReplayedMisses, CountsByPass) {
  const ReplayedMisses misses(Circle(30), 2);
  EXPECT_EQ(misses.n_decoded(), 30U);
  EXPECT_EQ(misses.MissesOf({0, 1}), 2U);  // the prompt's
  EXPECT_EQ(misses.MissesOf({1, 3}), 0U);
  EXPECT_EQ(misses.MissesOf({3, 4}), 1U);
  EXPECT_GE(misses.MissesOf({1, 31}), misses.BeladyMissesOf({1, 31}));
  // The optimum keeps one of a circle of three and finds every second use of what it had.
  EXPECT_EQ(misses.BeladyMissesOf({3, 31}), 14U);
  EXPECT_EQ(misses.MissesOf({31, 1000}), 0U);
  EXPECT_DOUBLE_EQ(misses.MissRatioOf({1, 3}), 0);
  EXPECT_DOUBLE_EQ(misses.MissRatioOf({1, 4}), 1.0 / 3);
  EXPECT_EQ(misses.MissRatioOf({31, 1000}), 0);
  // With a frame for each nothing is missing but the first times.
  EXPECT_EQ(ReplayedMisses(Circle(30), 4).MissesOf({1, 31}), 1U);
}

TEST(ReplayedMisses, BoundsTheTimeOfPasses) {
  const ReplayedMisses misses(Circle(30), 2);
  engine::TokenWork work;
  work.dense_bytes = 1000;
  work.experts = {{.expert_bytes = 100,
                   .read_bytes = 100,
                   .n_parts = 1,
                   .n_experts = 4,
                   .n_active = 1,
                   .multiply_adds = 0}};
  engine::MachineSpeed speed = {
      .memory = 1000, .multiply_adds = 1e9, .attention_multiply_adds = 1e9, .disk = {}};
  speed.disk.cells = {{.page_bytes = 64, .depth = 1, .bytes_per_second = 100}};
  speed.disk.sustained = 100;
  EXPECT_NEAR(misses.BoundOf({1, 3}, work, speed), 2 * (1 + 0.1), 1e-9);  // two hits
  EXPECT_NEAR(misses.BoundOf({3, 4}, work, speed), 1 + 1, 1e-9);          // a miss
  EXPECT_NEAR(misses.BoundOf({0, 1}, work, speed), 1 + 2, 1e-9);          // two, in one pass
}

}  // namespace
}  // namespace plimsoll::bench
