#include "model/expert_choice.h"

#include <cmath>

#include <gmock/gmock.h>

namespace plimsoll::model {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

struct Choice {
  std::vector<uint32_t> ids;
  std::vector<float> weights;
};

Choice Choose(const RouterParams& router, std::vector<float> logits, size_t k,
              const std::vector<float>& bias = {}) {
  std::vector<float> selection(logits.size());
  std::vector<float> group_scores(router.n_groups);
  std::vector<uint32_t> groups(router.n_groups_used);
  Choice choice{std::vector<uint32_t>(k), std::vector<float>(k)};
  ChooseExperts(*kernels::AllKernelSets()[0], router, bias, logits,
                {selection, group_scores, groups}, choice.ids, choice.weights);
  return choice;
}

float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

TEST(ExpertChoice, SoftmaxOverAllIsNotRenormalisedUnlessAsked) {
  const float e = std::exp(1.0F);
  const float sum = 2 * e + 2;
  RouterParams router;
  EXPECT_THAT(Choose(router, {0, 1, 0, 1}, 2).weights,
              Pointwise(FloatNear(1e-6F), {e / sum, e / sum}));
  router.normalize = true;
  router.scale = 3;
  const Choice choice = Choose(router, {0, 1, 0, 1}, 2);
  EXPECT_THAT(choice.ids, ElementsAre(1, 3));
  EXPECT_THAT(choice.weights, Pointwise(FloatNear(1e-6F), {1.5F, 1.5F}));
}

TEST(ExpertChoice, SoftmaxOfTheChosenTakesTheirLogitsAlone) {
  const RouterParams router = {.score = RouterScore::kSoftmaxOfChosen};
  const Choice choice = Choose(router, {2, -9, 3, 1}, 2);
  EXPECT_THAT(choice.ids, ElementsAre(0, 2));
  const float e = std::exp(1.0F);
  EXPECT_THAT(choice.weights, Pointwise(FloatNear(1e-6F), {1 / (1 + e), e / (1 + e)}));
}

TEST(ExpertChoice, ABiasChangesTheChoiceAndNotTheWeights) {
  const RouterParams router = {.score = RouterScore::kSigmoid};
  const std::vector<float> logits = {1, 0.5F, 0, -1};
  EXPECT_THAT(Choose(router, logits, 2).ids, ElementsAre(0, 1));
  const Choice choice = Choose(router, logits, 2, {-1, 0, 0, 1});
  EXPECT_THAT(choice.ids, ElementsAre(1, 3));
  EXPECT_THAT(choice.weights, Pointwise(FloatNear(1e-6F), {Sigmoid(0.5F), Sigmoid(-1)}));
}

// The best expert alone is in group 0, but group 1 has the best two.
TEST(ExpertChoice, GroupsCompeteByTheirBestTwo) {
  RouterParams router = {.score = RouterScore::kSigmoid, .n_groups = 3, .n_groups_used = 1};
  const std::vector<float> logits = {2, -3, -3, 1, 0, 1, -1, -1, -1};
  EXPECT_THAT(Choose(router, logits, 2).ids, ElementsAre(3, 5));
  router.n_groups_used = 2;
  EXPECT_THAT(Choose(router, logits, 3).ids, ElementsAre(0, 3, 5));
  // With the bias, group 2 comes before group 0.
  const std::vector<float> bias = {0, 0, 0, 0, 0, 0, 0.5F, 0.5F, 0};
  EXPECT_THAT(Choose(router, logits, 4, bias).ids, ElementsAre(3, 5, 6, 7));
}

TEST(ExpertChoice, TiedGroupsGoToTheLowerOnes) {
  const RouterParams router = {.n_groups = 4, .n_groups_used = 2};
  EXPECT_THAT(Choose(router, std::vector<float>(8, 1.0F), 4).ids, ElementsAre(0, 1, 2, 3));
}

TEST(ExpertChoice, ScoresThatAreAllNothingAreNotBlownUp) {
  const RouterParams router = {.score = RouterScore::kSigmoid, .normalize = true};
  const Choice choice = Choose(router, {-80, -80, -80}, 2);
  EXPECT_THAT(choice.ids, ElementsAre(0, 1));
  for (const float weight : choice.weights) {
    EXPECT_GE(weight, 0);
    EXPECT_LT(weight, 1e-20F);
  }
}

}  // namespace
}  // namespace plimsoll::model
