#include "memory/page_ring.h"

#include <gtest/gtest.h>

namespace plimsoll::memory {
namespace {

TEST(PageRing, GoesRoundAndSkipsAnEndThatIsTooSmall) {
  PageRing ring(100, 8);
  const auto a = ring.Take(40);
  const auto b = ring.Take(40);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(ring[*b].begin, 40U);
  EXPECT_FALSE(ring.Take(30));  // 20 at the end, none in front
  ring.Return(*a);
  const auto c = ring.Take(30);
  ASSERT_TRUE(c);
  EXPECT_EQ(ring[*c].begin, 0U);
  EXPECT_FALSE(ring.Take(11));  // 10 between the two
  EXPECT_TRUE(ring.Take(10));
}

TEST(PageRing, FreesInTheOrderOfTaking) {
  PageRing ring(100, 8);
  const auto a = ring.Take(50);
  const auto b = ring.Take(50);
  ASSERT_TRUE(a && b);
  ring.Return(*b);
  EXPECT_FALSE(ring.Take(10));  // behind what is still in use
  ring.Return(*a);
  EXPECT_TRUE(ring.empty());
  EXPECT_TRUE(ring.Take(100));
}

TEST(PageRing, RefusesWhatNeverFitsAndMorePlacesThanItHas) {
  PageRing ring(100, 2);
  EXPECT_FALSE(ring.Take(101));
  EXPECT_TRUE(ring.Take(1));
  EXPECT_TRUE(ring.Take(1));
  EXPECT_FALSE(ring.Take(1));
}

}  // namespace
}  // namespace plimsoll::memory
