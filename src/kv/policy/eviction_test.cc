#include "kv/policy/eviction.h"

#include <algorithm>

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
  for (uint32_t budget = Eviction::LeastBudget(); budget < 70; ++budget) {
    const Eviction eviction(PolicyKind::kWindow, budget);
    for (uint32_t n = budget; n < 1000; ++n) {
      ASSERT_LE(eviction.Kept(n), budget);
      ASSERT_GE(4 * (eviction.Kept(n) - 1), 3 * (budget - 1) - 4) << budget << " " << n;
    }
  }
}

// Nothing that is gone comes back, and nothing goes before it has to.
TEST(Eviction, DropsOnlyWhenTheBudgetIsFull) {
  for (uint32_t budget = Eviction::LeastBudget(); budget < 70; ++budget) {
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
  for (uint32_t budget = Eviction::LeastBudget(); budget < 70; ++budget) {
    const Eviction eviction(PolicyKind::kWindow, budget);
    for (uint32_t n = 2; n < 1000; ++n) {
      ASSERT_LE(1 + eviction.Dropped(n), n - 1);
    }
  }
}

TEST(Eviction, ASmallerBudgetThanTheLeastIsTheLeast) {
  EXPECT_EQ(Eviction(PolicyKind::kWindow, 0).budget(), Eviction::LeastBudget());
  EXPECT_EQ(Eviction(PolicyKind::kWindow, 0).Kept(100), Eviction::LeastBudget());
}

// As with one block of sinks in a budget that is smaller by the others.
TEST(Eviction, ALongerReferenceTakesItsPartOfTheBudget) {
  for (uint32_t n_sinks = 1; n_sinks < 20; ++n_sinks) {
    const Eviction longer(PolicyKind::kWindow, 30, {.n_sinks = n_sinks});
    const Eviction plain(PolicyKind::kWindow, 31 - n_sinks);
    EXPECT_EQ(longer.budget(), 30U);
    for (uint32_t n = 31; n < 200; ++n) {
      ASSERT_EQ(longer.Dropped(n), plain.Dropped(n - n_sinks + 1));
      ASSERT_LE(n_sinks + longer.Dropped(n), n - 1);
    }
  }
}

TEST(Eviction, APromptIsAReferenceWhereItFits) {
  const Eviction window(PolicyKind::kWindow, 10, {.keeps_prompt = true});
  EXPECT_EQ(window.For(0).n_sinks(), 1U);
  EXPECT_EQ(window.For(8).n_sinks(), 8U);
  EXPECT_EQ(window.For(8).For(3).n_sinks(), 3U);
  EXPECT_TRUE(window.HasRoomFor(8));
  EXPECT_FALSE(window.HasRoomFor(9));
  const Eviction plain(PolicyKind::kWindow, 10, {.n_sinks = 4});
  EXPECT_EQ(plain.For(9).n_sinks(), 4U);
  EXPECT_TRUE(plain.HasRoomFor(9));
}

// Originals are used up first, then the budget; half of what can go makes room at a time.
TEST(Eviction, MakesRoomForOriginalsBeforeItDropsAnything) {
  const Eviction arkv(PolicyKind::kArkv, 12, {.n_originals = 5});  // two at a time
  EXPECT_EQ(arkv.n_kept_originals(), 3U);
  EXPECT_EQ(arkv.Rounds(5), 0U);
  EXPECT_EQ(arkv.Room(3), 2U);
  EXPECT_EQ(arkv.Room(5), 0U);
  EXPECT_EQ(arkv.Rounds(6), 1U);
  EXPECT_EQ(arkv.Rounds(7), 1U);
  EXPECT_EQ(arkv.Rounds(8), 2U);
  EXPECT_EQ(arkv.Dropped(11), 0U);  // three rounds: 11 blocks
  EXPECT_EQ(arkv.Dropped(12), 1U);  // the fourth makes room up to 13
  EXPECT_EQ(arkv.Dropped(14), 3U);
}

TEST(Eviction, HasNeverMoreOriginalsOrBlocksThanItMay) {
  for (uint32_t budget = 4; budget < 60; ++budget) {
    for (uint32_t n = Eviction::kLeastOriginals; n <= budget; ++n) {
      const Eviction arkv(PolicyKind::kArkv, budget, {.n_originals = n});
      uint32_t n_originals = 0;
      for (uint32_t begun = 1; begun < 300; ++begun) {
        n_originals =
            arkv.Rounds(begun) > arkv.Rounds(begun - 1) ? arkv.n_kept_originals() : n_originals;
        ASSERT_LE(++n_originals, n);
        ASSERT_LE(arkv.Kept(begun), budget);
        ASSERT_GE(arkv.Dropped(begun), arkv.Dropped(begun - 1));
        ASSERT_LE(1 + arkv.Dropped(begun), std::max(2U, begun) - 1);
        ASSERT_EQ(arkv.Room(begun) == 0, arkv.Rounds(begun + 1) > arkv.Rounds(begun));
      }
    }
  }
}

}  // namespace
}  // namespace plimsoll::kv::policy
