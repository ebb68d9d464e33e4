#include "kv/policy/block_choice.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kv/block_pool.h"

namespace plimsoll::kv::policy {
namespace {

using testing::ElementsAre;

// Slots of blocks that are each all of one score, for one head after another.
std::vector<float> SlotsOf(const std::vector<float>& blocks) {
  std::vector<float> slots;
  for (const float block : blocks) {
    slots.insert(slots.end(), kBlockTokens, block);
  }
  return slots;
}

TEST(BlockScores, TheLowestGoInOrderAndNeverTheFirstOrTheNewest) {
  BlockScores scores(6);
  scores.AddLayer(SlotsOf({0, 5, 1, 4, 2, 0}));
  EXPECT_THAT(scores.Lowest(1), ElementsAre(2));
  EXPECT_THAT(scores.Lowest(3), ElementsAre(2, 3, 4));
  EXPECT_THAT(scores.Lowest(4), ElementsAre(1, 2, 3, 4));
}

TEST(BlockScores, OfEqualOnesTheOlderGoes) {
  BlockScores scores(6);
  scores.AddLayer(SlotsOf({1, 1, 1, 1, 1, 1}));
  EXPECT_THAT(scores.Lowest(2), ElementsAre(1, 2));
  scores.Clear(6);
  EXPECT_THAT(scores.Lowest(2), ElementsAre(1, 2));
}

TEST(BlockScores, HeadsOfALayerAreAddedAndLayersHaveEqualVotes) {
  BlockScores scores(5);
  scores.AddLayer(SlotsOf({0, 6, 3, 1, 0, /**/ 0, 1, 3, 6, 0}));  // 7, 6 and 7
  EXPECT_THAT(scores.Lowest(1), ElementsAre(2));
  scores.AddLayer(SlotsOf({900, 0.01F, 0.06F, 0.03F, 700}));  // a tenth, 6 tenths, 3 tenths
  EXPECT_THAT(scores.Lowest(1), ElementsAre(1));
}

TEST(BlockScores, ABlockIsWorthTheMeanOfItsSlots) {
  BlockScores scores(4);
  std::vector<float> slots(4 * size_t{kBlockTokens}, 0.0F);
  slots[kBlockTokens + 7] = 10;
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    slots[2 * size_t{kBlockTokens} + i] = 1;
  }
  scores.AddLayer(slots);
  EXPECT_THAT(scores.Lowest(1), ElementsAre(1));
}

TEST(BlockScores, ALayerThatSaysNothingCountsNothing) {
  BlockScores scores(5);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  scores.AddLayer(SlotsOf({1, 0, 0, 0, 1}));
  scores.AddLayer(SlotsOf({1, nan, 1, 2, 1}));
  scores.AddLayer(SlotsOf({1, infinity, 1, 2, 1}));
  scores.AddLayer(SlotsOf({1, 3, 1, 2, 1}));
  EXPECT_THAT(scores.Lowest(2), ElementsAre(2, 3));
}

}  // namespace
}  // namespace plimsoll::kv::policy
