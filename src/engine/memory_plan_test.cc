#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::engine {
namespace {

model::ModelNeeds SomeNeeds() {
  return {.weights = {.weights = 100 * kMiB, .vocab = 50 * kMiB, .experts = 800 * kMiB},
          .scratch = 30 * kMiB,
          .kv_block = kMiB};
}

TEST(MemoryPlan, CountsEveryPart) {
  const MemoryPlan plan = PlanResident(SomeNeeds(), 5 * kMiB, 1000);
  EXPECT_EQ(plan.vocab, 55 * kMiB);
  EXPECT_EQ(plan.kv, 32 * kMiB);  // 1000 tokens are 32 blocks
  EXPECT_EQ(plan.total(), plan.dense + plan.vocab + plan.experts + plan.kv + plan.scratch);
}

TEST(MemoryPlan, RefusesBelowWhatIsNeededAndSaysWhatWouldFit) {
  const model::ModelNeeds needs = SomeNeeds();
  const MemoryPlan plan = PlanResident(needs, 0, 4096);  // 128 MiB of KV
  EXPECT_TRUE(CheckFits(plan, needs, 0, 4096, plan.total()));
  const auto refused = CheckFits(plan, needs, 0, 4096, plan.total() - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("--memory 1109M"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("-c 2048"), std::string::npos) << refused.error().message;
}

TEST(MemoryPlan, OffersNoContextThatWouldNotFitEither) {
  const model::ModelNeeds needs = SomeNeeds();
  const auto refused = CheckFits(PlanResident(needs, 0, 4096), needs, 0, 4096, 500 * kMiB);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("-c "), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace plimsoll::engine
