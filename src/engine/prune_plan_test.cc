#include "engine/prune_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<LayerScores> Layers() {
  return {{.layer_idx = 1, .scores = {0.5, 0.9, 0.7, 0.6, 0.9, 0.4, 0.3, 0.8}},
          {.layer_idx = 3, .scores = {0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1}}};
}

TEST(PrunePlan, TheFlattestExpertsOfEachLayerGo) {
  const auto plan = PlanPruning(Layers(), {.n_experts = 8, .n_active = 2}, 0.25);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->size(), 2U);
  EXPECT_EQ((*plan)[0].layer_idx, 1U);
  EXPECT_THAT((*plan)[0].removed, ElementsAre(1, 4));
  EXPECT_THAT((*plan)[0].kept, ElementsAre(0, 2, 3, 5, 6, 7));
  EXPECT_EQ((*plan)[1].layer_idx, 3U);
  EXPECT_THAT((*plan)[1].removed, ElementsAre(0, 1));
  EXPECT_EQ((*plan)[1].scores, Layers()[1].scores);
}

TEST(PrunePlan, ARatioIsRoundedDownAndEqualsStayInTheirOrder) {
  const auto plan = PlanPruning({{.layer_idx = 0, .scores = {0.5, 0.5, 0.5, 0.5, 0.5}}},
                                {.n_experts = 5, .n_active = 1}, 0.5);
  ASSERT_TRUE(plan);
  EXPECT_THAT((*plan)[0].kept, ElementsAre(0, 1, 2));
}

TEST(PrunePlan, OfEveryGroupAsManyGo) {
  const ExpertCounts counts = {.n_experts = 8, .n_active = 2, .n_groups = 2, .n_groups_used = 1};
  const auto plan = PlanPruning(Layers(), counts, 0.5);
  ASSERT_TRUE(plan);
  EXPECT_THAT((*plan)[0].removed, ElementsAre(1, 2, 4, 7));
  EXPECT_THAT((*plan)[1].removed, ElementsAre(0, 1, 4, 5));
}

TEST(PrunePlan, WhatCannotBe) {
  const auto refusal = [](const ExpertCounts& counts, double ratio) {
    const auto plan = PlanPruning(Layers(), counts, ratio);
    EXPECT_FALSE(plan);
    return plan ? std::string() : plan.error().message;
  };
  EXPECT_THAT(refusal({.n_experts = 8, .n_active = 2}, 0.1), HasSubstr("no expert would go"));
  EXPECT_THAT(refusal({.n_experts = 8, .n_active = 5}, 0.5), HasSubstr("4 would stay"));
  EXPECT_THAT(refusal({.n_experts = 8, .n_active = 1, .n_groups = 2, .n_groups_used = 1}, 0.75),
              HasSubstr("there must be 2"));
  EXPECT_THAT(refusal({.n_experts = 8, .n_active = 3, .n_groups = 2, .n_groups_used = 1}, 0.5),
              HasSubstr("2 would stay in the groups"));
  EXPECT_THAT(refusal({.n_experts = 4, .n_active = 1}, 0.5), HasSubstr("layer 1 has 8 experts"));
}

}  // namespace
}  // namespace plimsoll::engine
