#include "kv/policy/slot_choice.h"

#include <cstring>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "kv/kv_sequence.h"

namespace plimsoll::kv::policy {
namespace {

constexpr uint32_t kBlocks = 5;
constexpr uint32_t kSlots = kBlocks * kBlockTokens;

// Two layers, of which the second has its values in its keys; every element says where it was.
class SlotGathererTest : public testing::Test {
 protected:
  SlotGathererTest()
      : pool_(ledger_,
              BlockLayout(
                  {{.n_kv_heads = 2, .head_dim_k = 4, .head_dim_v = 3},
                   {.n_kv_heads = 1, .head_dim_k = 5, .head_dim_v = 2, .values_in_keys = true}})),
        sequence_(pool_, kSlots) {
    EXPECT_TRUE(pool_.Promise(kBlocks));
    EXPECT_EQ(sequence_.Append(kSlots, 0), AppendOutcome::kAppended);
    const BlockLayout& layout = pool_.layout();
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      for (uint32_t layer = 0; layer < 2; ++layer) {
        for (uint32_t head = 0; head < layout.layer(layer).n_kv_heads; ++head) {
          Fill(KeyAt(layer, head, slot), layout.layer(layer).head_dim_k, slot);
          if (layer == 0) {
            Fill(ValueAt(head, slot), 3, 1000 + slot);
          }
        }
      }
    }
  }

  std::byte* KeyAt(uint32_t layer, uint32_t head, uint32_t slot) {
    const BlockLayout& layout = pool_.layout();
    return sequence_.MutableBlock(slot) + layout.k_offset(layer, head) +
           slot % kBlockTokens * layout.k_stride(layer);
  }
  std::byte* ValueAt(uint32_t head, uint32_t slot) {
    const BlockLayout& layout = pool_.layout();
    return sequence_.MutableBlock(slot) + layout.v_offset(0, head) +
           slot % kBlockTokens * layout.v_stride(0);
  }
  static void Fill(std::byte* at, uint32_t dim, uint32_t what) {
    for (uint32_t d = 0; d < dim; ++d) {
      const auto element = static_cast<uint16_t>(what);
      std::memcpy(at + d * sizeof(element), &element, sizeof(element));
    }
  }
  static void ExpectIs(const std::byte* at, uint32_t dim, uint32_t what) {
    for (uint32_t d = 0; d < dim; ++d) {
      uint16_t element = 0;
      std::memcpy(&element, at + d * sizeof(element), sizeof(element));
      ASSERT_EQ(element, what);
    }
  }

  memory::Ledger ledger_{kMiB};
  BlockPool pool_;
  KvSequence sequence_;
  SlotGatherer gatherer_{kBlocks};
};

TEST_F(SlotGathererTest, EveryHeadKeepsItsOwnInOrder) {
  std::vector<float> scores(2 * size_t{kSlots});
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    scores[slot] = slot % 3 == 0 ? 1 : 0.5F;                      // head 0: every third slot
    scores[kSlots + slot] = static_cast<float>(slot * 37 % 161);  // head 1: here and there
  }
  gatherer_.Gather(sequence_, 0, scores, 1);
  // Of 96 slots every third is 32 of them.
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    ExpectIs(KeyAt(0, 0, kBlockTokens + i), 4, 33 + 3 * i);
    ExpectIs(ValueAt(0, kBlockTokens + i), 3, 1000 + 33 + 3 * i);
  }
  std::vector<uint32_t> best(kSlots - 2 * kBlockTokens);
  std::iota(best.begin(), best.end(), kBlockTokens);
  std::ranges::sort(best, {}, [&](uint32_t slot) { return -scores[kSlots + slot]; });
  best.resize(kBlockTokens);
  std::ranges::sort(best);
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    ExpectIs(KeyAt(0, 1, kBlockTokens + i), 4, best[i]);
    ExpectIs(ValueAt(1, kBlockTokens + i), 3, 1000 + best[i]);
    // The first block, the newest, and the other layer are as they were.
    ExpectIs(KeyAt(0, 1, i), 4, i);
    ExpectIs(KeyAt(0, 1, kSlots - 1 - i), 4, kSlots - 1 - i);
    ExpectIs(KeyAt(1, 0, kBlockTokens + i), 5, kBlockTokens + i);
  }
}

TEST_F(SlotGathererTest, ValuesInKeysMoveWithThem) {
  std::vector<float> scores(kSlots);
  std::iota(scores.begin(), scores.end(), 0.0F);
  gatherer_.Gather(sequence_, 1, scores, 2);
  for (uint32_t i = 0; i < 2 * kBlockTokens; ++i) {
    ExpectIs(KeyAt(1, 0, kBlockTokens + i), 5, 2 * kBlockTokens + i);
  }
}

TEST_F(SlotGathererTest, OfEqualOnesTheNewerStayAndNansGo) {
  std::vector<float> scores(2 * size_t{kSlots}, 1.0F);
  for (uint32_t slot = 2 * kBlockTokens; slot < 3 * kBlockTokens; ++slot) {
    scores[slot] = std::numeric_limits<float>::quiet_NaN();
  }
  gatherer_.Gather(sequence_, 0, scores, 2);
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    ExpectIs(KeyAt(0, 0, kBlockTokens + i), 4, kBlockTokens + i);
    ExpectIs(KeyAt(0, 0, 2 * kBlockTokens + i), 4, 3 * kBlockTokens + i);
    ExpectIs(KeyAt(0, 1, kBlockTokens + i), 4, 2 * kBlockTokens + i);
  }
}

}  // namespace
}  // namespace plimsoll::kv::policy
