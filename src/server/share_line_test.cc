#include "server/share_line.h"

#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ShareLine, LeastThenGoodThenAllThenTheRest) {
  const std::vector<LineWish> wishes = {{10, 20, 40}, {10, 40, 120}};
  EXPECT_EQ(ShareLine(wishes, 19), std::nullopt);
  EXPECT_THAT(*ShareLine(wishes, 20), ElementsAre(10, 10));
  EXPECT_THAT(*ShareLine(wishes, 40), ElementsAre(15, 25));  // 20 of 40 that are lacking
  EXPECT_THAT(*ShareLine(wishes, 60), ElementsAre(20, 40));
  EXPECT_THAT(*ShareLine(wishes, 110), ElementsAre(30, 80));  // 50 of 100
  EXPECT_THAT(*ShareLine(wishes, 160), ElementsAre(40, 120));
  EXPECT_THAT(*ShareLine(wishes, 200), ElementsAre(50, 150));
  EXPECT_THAT(*ShareLine({}, 5), IsEmpty());
}

TEST(ShareLine, NeverGivesOutMoreThanTheLineNorLessThanTheLeast) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 draw(seed);
    std::vector<LineWish> wishes(draw() % 6);
    uint64_t leasts = 0;
    for (LineWish& wish : wishes) {
      const uint64_t shift = draw() % 50;
      wish.least = draw() >> (14 + shift);
      wish.good = wish.least + (draw() >> (14 + shift));
      wish.all = wish.good + (draw() >> (14 + shift));
      leasts += wish.least;
    }
    const uint64_t line = leasts + (draw() >> (10 + draw() % 50));
    const auto lines = ShareLine(wishes, line);
    ASSERT_TRUE(lines.has_value());
    EXPECT_LE(std::accumulate(lines->begin(), lines->end(), uint64_t{0}), line);
    for (size_t i = 0; i < wishes.size(); ++i) {
      EXPECT_GE((*lines)[i], wishes[i].least);
    }
  }
}

TEST(MakeRoom, NobodyGoesWhileAllHaveWhatIsGood) {
  const std::vector<Tenant> tenants = {{{10, 20, 100}, true, 1}, {{10, 20, 100}, false, 2}};
  const auto room = MakeRoom(tenants, {10, 20, 100}, 60);
  EXPECT_THAT(room->unload, IsEmpty());
  EXPECT_FALSE(room->must_wait);
}

TEST(MakeRoom, IdleOnesGoLeastRecentlyUsedFirst) {
  const std::vector<Tenant> tenants = {
      {{10, 20, 100}, true, 3}, {{10, 20, 100}, true, 1}, {{10, 20, 100}, false, 2}};
  EXPECT_THAT(MakeRoom(tenants, {10, 20, 100}, 60)->unload, ElementsAre(1));
  EXPECT_THAT(MakeRoom(tenants, {10, 20, 100}, 40)->unload, ElementsAre(1, 0));
  // The one in use is squeezed, not thrown out.
  const auto tight = MakeRoom(tenants, {10, 20, 100}, 20);
  EXPECT_THAT(tight->unload, ElementsAre(1, 0));
  EXPECT_FALSE(tight->must_wait);
}

TEST(MakeRoom, WaitsForThoseInUseOnlyWhenNothingElseHelps) {
  const std::vector<Tenant> tenants = {{{30, 30, 30}, false, 2}, {{30, 30, 30}, false, 1}};
  const auto room = MakeRoom(tenants, {30, 30, 30}, 70);
  EXPECT_THAT(room->unload, ElementsAre(1));
  EXPECT_TRUE(room->must_wait);
  EXPECT_EQ(MakeRoom(tenants, {71, 71, 71}, 70), std::nullopt);
}

}  // namespace
}  // namespace plimsoll::server
