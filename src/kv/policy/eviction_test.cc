#include "kv/policy/eviction.h"

#include <gtest/gtest.h>

namespace plimsoll::kv::policy {
namespace {

TEST(Eviction, KeepsEverythingWithinItsBudget) {
  const Eviction eviction(PolicyKind::kWindow, 8);
  for (uint32_t n = 0; n <= 8; ++n) {
    EXPECT_EQ(eviction.Dropped(n), 0U);
    EXPECT_EQ(eviction.Room(n), 8 - n);
  }
}

TEST(Eviction, DropsAQuarterAtATime) {
  const Eviction eviction(PolicyKind::kWindow, 9);  // two blocks of the eight behind the sinks
  EXPECT_EQ(eviction.Dropped(9), 0U);
  EXPECT_EQ(eviction.Dropped(10), 2U);
  EXPECT_EQ(eviction.Dropped(11), 2U);
  EXPECT_EQ(eviction.Dropped(12), 4U);
}

TEST(Eviction, NeverPassesItsBudgetAndKeepsThreeQuarters) {
  for (uint32_t budget = Eviction::kLeastBudget; budget < 70; ++budget) {
    const Eviction eviction(PolicyKind::kWindow, budget);
    for (uint32_t n = budget; n < 1000; ++n) {
      ASSERT_LE(eviction.Kept(n), budget);
      ASSERT_GE(4 * (eviction.Kept(n) - Eviction::kSinkBlocks),
                3 * (budget - Eviction::kSinkBlocks) - 4)
          << budget << " " << n;
    }
  }
}

// Nothing that is gone comes back, and nothing goes before it has to.
TEST(Eviction, DropsOnlyWhenTheBudgetIsFull) {
  for (uint32_t budget = Eviction::kLeastBudget; budget < 70; ++budget) {
    const Eviction eviction(PolicyKind::kWindow, budget);
    for (uint32_t n = 0; n < 1000; ++n) {
      ASSERT_GE(eviction.Dropped(n + 1), eviction.Dropped(n));
      ASSERT_EQ(eviction.Dropped(n + 1) == eviction.Dropped(n), eviction.Kept(n) < budget);
      ASSERT_EQ(eviction.Dropped(n + eviction.Room(n)), eviction.Dropped(n));
    }
  }
}

// The block that is being filled and the one before it are always there.
TEST(Eviction, NeverDropsTheNewest) {
  for (uint32_t budget = Eviction::kLeastBudget; budget < 70; ++budget) {
    const Eviction eviction(PolicyKind::kWindow, budget);
    for (uint32_t n = 2; n < 1000; ++n) {
      ASSERT_LE(Eviction::kSinkBlocks + eviction.Dropped(n), n - 1);
    }
  }
}

TEST(Eviction, ASmallerBudgetThanTheLeastIsTheLeast) {
  EXPECT_EQ(Eviction(PolicyKind::kWindow, 0).budget(), Eviction::kLeastBudget);
  EXPECT_EQ(Eviction(PolicyKind::kWindow, 0).Kept(100), Eviction::kLeastBudget);
}

}  // namespace
}  // namespace plimsoll::kv::policy
