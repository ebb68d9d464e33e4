#include "kv/kv_sequence.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::kv {
namespace {

BlockLayout SmallLayout() {
  return BlockLayout({{.n_kv_heads = 2, .head_dim_k = 8, .head_dim_v = 4},
                      {.n_kv_heads = 1, .head_dim_k = 16, .head_dim_v = 16}});
}

class KvSequenceTest : public testing::Test {
 protected:
  KvSequenceTest() : ledger_(kMiB), pool_(ledger_, SmallLayout()) {}

  // A recognisable byte in a slot, where the first head's key of layer 0 would be.
  static std::byte& Mark(const KvSequence& s, uint32_t slot) {
    return s.MutableBlock(slot)[slot % kBlockTokens * 16];
  }

  memory::Ledger ledger_;
  BlockPool pool_;
};

TEST(BlockLayout, HeadsDoNotOverlapAndFillTheBlock) {
  const BlockLayout layout = SmallLayout();
  EXPECT_EQ(layout.k_offset(0, 0), 0U);
  EXPECT_EQ(layout.k_offset(0, 1), 32U * 8 * 2);
  EXPECT_EQ(layout.v_offset(0, 0), 2U * 32 * 8 * 2);
  EXPECT_EQ(layout.v_offset(0, 1), 2U * 32 * 8 * 2 + 32 * 4 * 2);
  EXPECT_EQ(layout.k_offset(1, 0), 2U * 32 * (8 + 4) * 2);
  EXPECT_EQ(layout.block_bytes(), 2U * 32 * (8 + 4) * 2 + 32 * (16 + 16) * 2);
}

TEST(BlockLayout, ValuesInKeysTakeNoRoom) {
  const BlockLayout layout(
      {{.n_kv_heads = 1, .head_dim_k = 48, .head_dim_v = 32, .values_in_keys = true},
       {.n_kv_heads = 1, .head_dim_k = 16, .head_dim_v = 8}});
  EXPECT_EQ(layout.v_offset(0, 0), layout.k_offset(0, 0));
  EXPECT_EQ(layout.k_stride(0), 48U * 2);
  EXPECT_EQ(layout.v_stride(0), 48U * 2);
  EXPECT_EQ(layout.k_offset(1, 0), 32U * 48 * 2);
  EXPECT_EQ(layout.v_stride(1), 8U * 2);
  EXPECT_EQ(layout.block_bytes(), 32U * (48 + 16 + 8) * 2);
}

TEST_F(KvSequenceTest, ThePoolIsChargedBeforeItGrows) {
  const uint64_t block = pool_.layout().block_bytes();
  ASSERT_TRUE(pool_.Promise(3));
  EXPECT_GE(ledger_.Snapshot().accounts[static_cast<size_t>(memory::Account::kKv)].bytes,
            3 * block);
  EXPECT_EQ(pool_.Promise(kMiB / block).error().kind, ErrorKind::kDoesNotFit);
  pool_.Unpromise(3);
  ASSERT_TRUE(pool_.Promise(2));  // from what is there
  EXPECT_EQ(pool_.n_blocks(), 3U);
}

TEST_F(KvSequenceTest, AppendIsAllOrNothing) {
  ASSERT_TRUE(pool_.Promise(2));
  KvSequence s(pool_, 1000);
  EXPECT_EQ(s.Append(40, 0), AppendOutcome::kAppended);
  EXPECT_EQ(s.Append(25, 40), AppendOutcome::kNoRoom);
  EXPECT_EQ(s.n_tokens(), 40U);
  EXPECT_EQ(s.Append(24, 40), AppendOutcome::kAppended);
  EXPECT_EQ(s.positions()[63], 63U);
  EXPECT_EQ(s.block_table().size(), 2U);
}

TEST_F(KvSequenceTest, MaxTokensHolds) {
  ASSERT_TRUE(pool_.Promise(4));
  KvSequence s(pool_, 33);
  EXPECT_EQ(s.Append(34, 0), AppendOutcome::kNoRoom);
  EXPECT_EQ(s.Append(33, 0), AppendOutcome::kAppended);
  EXPECT_EQ(s.Append(1, 33), AppendOutcome::kNoRoom);
}

TEST_F(KvSequenceTest, TruncateAndDestructionGiveBlocksBack) {
  ASSERT_TRUE(pool_.Promise(4));
  {
    KvSequence s(pool_, 128);
    ASSERT_EQ(s.Append(128, 0), AppendOutcome::kAppended);
    EXPECT_EQ(pool_.n_free(), 0U);
    s.Truncate(33);
    EXPECT_EQ(pool_.n_free(), 2U);
    s.Truncate(64);  // longer than it is: nothing
    EXPECT_EQ(s.n_tokens(), 33U);
  }
  EXPECT_EQ(pool_.n_free(), 4U);
}

TEST_F(KvSequenceTest, AForkSharesUntilItWrites) {
  ASSERT_TRUE(pool_.Promise(4));
  KvSequence s(pool_, 128);
  ASSERT_EQ(s.Append(40, 0), AppendOutcome::kAppended);
  Mark(s, 39) = std::byte{7};
  const auto fork_state = s.Fork();
  auto& fork = dynamic_cast<KvSequence&>(*fork_state);
  EXPECT_EQ(pool_.n_free(), 2U);
  ASSERT_EQ(fork.Append(1, 40), AppendOutcome::kAppended);
  EXPECT_EQ(pool_.n_free(), 1U);
  EXPECT_EQ(fork.block_table()[0], s.block_table()[0]);
  EXPECT_NE(fork.block_table()[1], s.block_table()[1]);
  EXPECT_EQ(Mark(fork, 39), std::byte{7});
  Mark(fork, 39) = std::byte{9};
  EXPECT_EQ(Mark(s, 39), std::byte{7});
}

TEST_F(KvSequenceTest, ASnapshotBringsTheStateBack) {
  ASSERT_TRUE(pool_.Promise(4));
  KvSequence s(pool_, 128);
  ASSERT_EQ(s.Append(40, 0), AppendOutcome::kAppended);
  Mark(s, 39) = std::byte{7};
  const auto snapshot = s.Snapshot();
  s.Truncate(39);
  ASSERT_EQ(s.Append(10, 39), AppendOutcome::kAppended);
  Mark(s, 39) = std::byte{8};
  s.Restore(*snapshot);
  EXPECT_EQ(s.n_tokens(), 40U);
  EXPECT_EQ(Mark(s, 39), std::byte{7});
}

TEST_F(KvSequenceTest, NoRoomForTheCopyChangesNothing) {
  ASSERT_TRUE(pool_.Promise(1));
  KvSequence s(pool_, 128);
  ASSERT_EQ(s.Append(5, 0), AppendOutcome::kAppended);
  const auto fork = s.Fork();
  EXPECT_EQ(fork->Append(1, 5), AppendOutcome::kNoRoom);
  EXPECT_EQ(fork->n_tokens(), 5U);
}

}  // namespace
}  // namespace plimsoll::kv
