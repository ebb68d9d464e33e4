#include "kv/policy/window.h"

#include <gtest/gtest.h>

namespace plimsoll::kv::policy {
namespace {

TEST(Window, KeepsEverythingWithinItsBudget) {
  const Window window(8);
  for (uint32_t n = 0; n <= 8; ++n) {
    EXPECT_EQ(window.Dropped(n), 0U);
    EXPECT_EQ(window.Room(n), 8 - n);
  }
}

TEST(Window, DropsAQuarterAtATime) {
  const Window window(9);  // two blocks of the eight behind the sinks
  EXPECT_EQ(window.Dropped(9), 0U);
  EXPECT_EQ(window.Dropped(10), 2U);
  EXPECT_EQ(window.Dropped(11), 2U);
  EXPECT_EQ(window.Dropped(12), 4U);
}

TEST(Window, NeverPassesItsBudgetAndKeepsThreeQuarters) {
  for (uint32_t budget = Window::kLeastBudget; budget < 70; ++budget) {
    const Window window(budget);
    for (uint32_t n = budget; n < 1000; ++n) {
      ASSERT_LE(window.Kept(n), budget);
      ASSERT_GE(4 * (window.Kept(n) - Window::kSinkBlocks), 3 * (budget - Window::kSinkBlocks) - 4)
          << budget << " " << n;
    }
  }
}

// Nothing that is gone comes back, and nothing goes before it has to.
TEST(Window, DropsOnlyWhenTheBudgetIsFull) {
  for (uint32_t budget = Window::kLeastBudget; budget < 70; ++budget) {
    const Window window(budget);
    for (uint32_t n = 0; n < 1000; ++n) {
      ASSERT_GE(window.Dropped(n + 1), window.Dropped(n));
      ASSERT_EQ(window.Dropped(n + 1) == window.Dropped(n), window.Kept(n) < budget);
      ASSERT_EQ(window.Dropped(n + window.Room(n)), window.Dropped(n));
    }
  }
}

// The block that is being filled and the one before it are always there.
TEST(Window, NeverDropsTheNewest) {
  for (uint32_t budget = Window::kLeastBudget; budget < 70; ++budget) {
    const Window window(budget);
    for (uint32_t n = 2; n < 1000; ++n) {
      ASSERT_LE(Window::kSinkBlocks + window.Dropped(n), n - 1);
    }
  }
}

TEST(Window, ASmallerBudgetThanTheLeastIsTheLeast) {
  EXPECT_EQ(Window(0).budget(), Window::kLeastBudget);
  EXPECT_EQ(Window(0).Kept(100), Window::kLeastBudget);
}

}  // namespace
}  // namespace plimsoll::kv::policy
