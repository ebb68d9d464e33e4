#include "kv/policy/original_choice.h"

#include <limits>
#include <set>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::kv::policy {
namespace {

using ::testing::ElementsAre;

std::vector<uint32_t> Shares(size_t n, const std::vector<float>& weights,
                             const std::vector<uint32_t>& caps) {
  std::vector<uint32_t> shares(weights.size(), 99);
  ShareOut(n, weights, caps, shares);
  return shares;
}

TEST(ShareOut, GoesByWeight) {
  EXPECT_THAT(Shares(10, {1, 1, 3}, {9, 9, 9}), ElementsAre(2, 2, 6));
  EXPECT_THAT(Shares(8, {2, 6}, {9, 9}), ElementsAre(2, 6));
  EXPECT_THAT(Shares(0, {2, 6}, {9, 9}), ElementsAre(0, 0));
}

TEST(ShareOut, NoOneGetsMoreThanItsCap) {
  EXPECT_THAT(Shares(10, {1, 1, 30}, {9, 9, 4}), ElementsAre(3, 3, 4));
  EXPECT_THAT(Shares(10, {1, 2}, {3, 0}), ElementsAre(3, 0));
}

TEST(ShareOut, LayersThatSayNothingGetWhatIsLeft) {
  EXPECT_THAT(Shares(4, {0, 1, 0}, {9, 3, 9}), ElementsAre(1, 3, 0));
  EXPECT_THAT(Shares(6, {0, 0, 0}, {9, 9, 9}), ElementsAre(2, 2, 2));
}

class OriginalChoiceTest : public testing::Test {
 protected:
  static BlockLayout TwoLayers() {
    const BlockLayout::Layer layer = {.n_kv_heads = 1,
                                      .head_dim_k = 32,
                                      .head_dim_v = 32,
                                      .type = tensor::KvType::kQ8,
                                      .n_heads = 1};
    return BlockLayout({layer, layer});
  }
  OriginalChoiceTest() : layout_(TwoLayers()), originals_(layout_, kBlocks, kBlocks) {
    for (uint32_t b = 0; b < kBlocks; ++b) {
      originals_.Add(b);
    }
  }
  // Those that stay, by layer.
  std::vector<std::set<uint32_t>> Staying(std::span<const uint32_t> gone, size_t n) {
    std::vector<std::set<uint32_t>> staying(2);
    for (size_t i = 0; i < 2; ++i) {
      for (uint32_t b = 1; b < kBlocks; ++b) {
        if (originals_.Has(i, b) && !std::ranges::binary_search(gone, b)) {
          staying[i].insert(b);
        }
      }
    }
    for (const auto& [layer, block] : choice_.ToQuantize(originals_, kBlocks, gone, n)) {
      EXPECT_EQ(staying[layer].erase(block), 1U);
    }
    return staying;
  }

  static constexpr uint32_t kBlocks = 6;
  BlockLayout layout_;
  Originals originals_;
  OriginalChoice choice_{2, kBlocks, kBlocks};
};

TEST_F(OriginalChoiceTest, TheBestOfEachLayerStay) {
  choice_.AddLayer(0, std::vector<float>{0, 5, 1, 4, 2, 3}, 1);
  choice_.AddLayer(1, std::vector<float>{9, 1, 2, 3, 3, 3}, 1);
  const auto staying = Staying({}, 4);
  EXPECT_THAT(staying[0], ElementsAre(1, 3));
  EXPECT_THAT(staying[1], ElementsAre(4, 5));  // of equal ones the newer
}

TEST_F(OriginalChoiceTest, ALayerThatWeighsMoreHasMore) {
  choice_.AddLayer(0, std::vector<float>{0, 5, 1, 4, 2, 3}, 1);
  choice_.AddLayer(1, std::vector<float>{9, 1, 2, 3, 4, 5}, 3);
  const auto staying = Staying({}, 4);
  EXPECT_THAT(staying[0], ElementsAre(1));
  EXPECT_THAT(staying[1], ElementsAre(3, 4, 5));
}

// What is quantized never comes back, and what goes takes no one's share.
TEST_F(OriginalChoiceTest, OnlyOriginalsThatStayCount) {
  choice_.AddLayer(0, std::vector<float>{0, 5, 1, 4, 2, 3}, 1);
  choice_.AddLayer(1, std::vector<float>{0, 5, 1, 4, 2, 3}, 1);
  originals_.Remove(0, 1);
  const std::vector<uint32_t> gone = {3};
  const auto staying = Staying(gone, 4);
  EXPECT_THAT(staying[0], ElementsAre(4, 5));
  EXPECT_THAT(staying[1], ElementsAre(1, 5));
}

TEST_F(OriginalChoiceTest, NaNsOrderNothing) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  choice_.AddLayer(0, std::vector<float>{0, nan, 1, -nan, 2, 0}, nan);
  choice_.AddLayer(1, std::vector<float>{0, 1, 2, 3, 4, 5}, std::numeric_limits<float>::infinity());
  const auto staying = Staying({}, 4);
  EXPECT_THAT(staying[0], ElementsAre(2, 4));
  EXPECT_THAT(staying[1], ElementsAre(4, 5));
}

}  // namespace
}  // namespace plimsoll::kv::policy
