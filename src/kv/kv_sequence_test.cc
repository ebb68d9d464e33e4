#include "kv/kv_sequence.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "kv/marked_tokens.h"
#include "kv/precision.h"

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

BlockLayout QuantizedLayout() {
  return BlockLayout(
      {{.n_kv_heads = 2, .head_dim_k = 64, .head_dim_v = 32, .type = tensor::KvType::kQ4},
       {.n_kv_heads = 1, .head_dim_k = 64, .head_dim_v = 64},
       {.n_kv_heads = 1,
        .head_dim_k = 96,
        .head_dim_v = 64,
        .values_in_keys = true,
        .type = tensor::KvType::kQ8}});
}

TEST(BlockLayout, PanelsOfATypeFillTheBlock) {
  const BlockLayout layout = QuantizedLayout();
  EXPECT_EQ(layout.k_offset(0, 1), 64U * 20);
  EXPECT_EQ(layout.v_offset(0, 0), 2U * 64 * 20);
  EXPECT_EQ(layout.v_offset(0, 1), 2U * 64 * 20 + 32 * 18);
  EXPECT_EQ(layout.k_offset(1, 0), 2U * (64 * 20 + 32 * 18));
  EXPECT_EQ(layout.k_offset(2, 0), layout.k_offset(1, 0) + 32U * 128 * 2);
  EXPECT_EQ(layout.block_bytes(), layout.k_offset(2, 0) + 96U * 34);
}

TEST(BlockLayout, OpenBlocksHoldEveryQuantizedHeadOnce) {
  const BlockLayout layout = QuantizedLayout();
  std::vector<std::pair<uint64_t, uint64_t>> places;  // begin and end, over all open blocks
  const auto add = [&](BlockLayout::Place place, uint64_t dim) {
    ASSERT_LT(place.block, layout.n_open_blocks());
    ASSERT_LE(place.offset + 32 * dim * 2, layout.block_bytes());
    const uint64_t begin = place.block * layout.block_bytes() + place.offset;
    places.emplace_back(begin, begin + 32 * dim * 2);
  };
  for (const uint32_t head : {0U, 1U}) {
    add(layout.open_k(0, head), 64);
    add(layout.open_v(0, head), 32);
  }
  add(layout.open_k(2, 0), 96);
  std::ranges::sort(places);
  for (size_t i = 1; i < places.size(); ++i) {
    EXPECT_LE(places[i - 1].second, places[i].first);
  }
  EXPECT_EQ(BlockLayout({{.n_kv_heads = 4, .head_dim_k = 8, .head_dim_v = 8}}).n_open_blocks(), 0U);
}

// A single head of a single layer is larger while it is open than when it is quantized.
TEST(BlockLayout, ABlockHoldsAnyHeadThatIsOpen) {
  const BlockLayout layout({{.n_kv_heads = 1,
                             .head_dim_k = 64,
                             .head_dim_v = 64,
                             .values_in_keys = true,
                             .type = tensor::KvType::kQ4}});
  EXPECT_EQ(layout.block_bytes(), 32U * 64 * 2);
  EXPECT_EQ(layout.n_open_blocks(), 1U);
}

class QuantizedSequenceTest : public testing::Test {
 protected:
  QuantizedSequenceTest() : ledger_(kMiB), pool_(ledger_, QuantizedLayout()) {
    EXPECT_TRUE(pool_.Promise(n_open() + 4));
  }
  [[nodiscard]] uint32_t n_open() const { return pool_.layout().n_open_blocks(); }

  // As the engine does: room, then the passes.
  static void Run(KvSequence& s, uint32_t n) {
    const uint32_t first = s.n_tokens();
    ASSERT_EQ(s.Append(n, first), AppendOutcome::kAppended);
    for (uint32_t at = first; at < first + n;) {
      const uint32_t now = s.PassTokens(at, first + n - at);
      s.BeginPass(at, now);
      at += now;
    }
  }
  static std::byte& OpenMark(const KvSequence& s) { return *s.OpenKeys(0, 1); }

  memory::Ledger ledger_;
  BlockPool pool_;
};

TEST_F(QuantizedSequenceTest, APassLeavesOneBlockThatIsNotFull) {
  const KvSequence s(pool_, 1000);
  EXPECT_EQ(s.PassTokens(0, 100), 100U);
  EXPECT_EQ(s.PassTokens(64, 3), 3U);
  EXPECT_EQ(s.PassTokens(70, 20), 20U);
  EXPECT_EQ(s.PassTokens(70, 26), 26U);
  EXPECT_EQ(s.PassTokens(70, 27), 26U);
  EXPECT_EQ(s.PassTokens(70, 100), 90U);
  EXPECT_EQ(s.PassTokens(70, 90), 90U);
}

TEST_F(QuantizedSequenceTest, OpenBlocksComeWithTheFirstTokenAndGoWithTheLast) {
  {
    KvSequence s(pool_, 128);
    EXPECT_EQ(s.BlocksToAppend(40), 2 + n_open());
    Run(s, 40);
    EXPECT_EQ(pool_.n_free(), 2U);
    EXPECT_EQ(s.BlocksToAppend(24), 0U);
    EXPECT_EQ(s.Bytes(40), (2 + n_open()) * pool_.layout().block_bytes());
    s.Truncate(0);
    EXPECT_EQ(pool_.n_free(), 4U + n_open());
    Run(s, 128);
    EXPECT_EQ(pool_.n_free(), 0U);
  }
  EXPECT_EQ(pool_.n_free(), 4U + n_open());
}

TEST_F(QuantizedSequenceTest, GoesBackToWholeBlocksAndIntoTheOpenOne) {
  KvSequence s(pool_, 128);
  Run(s, 40);
  EXPECT_EQ(s.open_idx(), 1U);
  EXPECT_EQ(s.Keepable(35), 35U);
  EXPECT_EQ(s.Keepable(31), 0U);
  Run(s, 24);  // full, and still open
  EXPECT_EQ(s.Keepable(63), 63U);
  Run(s, 1);
  EXPECT_EQ(s.open_idx(), 2U);
  EXPECT_EQ(s.Keepable(63), 32U);
  s.Truncate(64);
  EXPECT_EQ(s.open_idx(), KvSequence::kNoBlock);
  EXPECT_EQ(s.Keepable(40), 32U);
}

TEST_F(QuantizedSequenceTest, AForkHasOpenBlocksOfItsOwn) {
  ASSERT_TRUE(pool_.Promise(2 * n_open() + 4 + 1));
  KvSequence s(pool_, 128);
  Run(s, 40);
  OpenMark(s) = std::byte{7};
  const auto fork_state = s.Fork();
  auto& fork = dynamic_cast<KvSequence&>(*fork_state);
  EXPECT_EQ(fork.BlocksToAppend(1), 1 + n_open());
  Run(fork, 1);
  EXPECT_EQ(OpenMark(fork), std::byte{7});
  OpenMark(fork) = std::byte{9};
  EXPECT_EQ(OpenMark(s), std::byte{7});
  const auto snapshot = s.Snapshot();
  s.Truncate(0);
  s.Restore(*snapshot);
  EXPECT_EQ(OpenMark(s), std::byte{7});
  EXPECT_EQ(s.open_idx(), 1U);
}

TEST_F(QuantizedSequenceTest, NoRoomForOpenBlocksChangesNothing) {
  KvSequence first(pool_, 128);
  Run(first, 128);
  KvSequence second(pool_, 128);
  EXPECT_EQ(second.Append(1, 0), AppendOutcome::kNoRoom);
  EXPECT_EQ(second.n_tokens(), 0U);
  EXPECT_TRUE(second.open_blocks().empty());
}

TEST(Precision, TypesOfLayersAreRead) {
  EXPECT_EQ(ParseKvType("q8_0").value(), tensor::KvType::kQ8);
  EXPECT_EQ(ParseKvType("q5_1").error().kind, ErrorKind::kUsage);
  EXPECT_EQ(ParseKvType("q5_1").error().message,
            "\"q5_1\" is not one of f16, bf16, q8 (q8_0), q4 (q4_0)");
  const auto layers = ParseKvTypeLayers("0-3=q8,2=bf16");
  ASSERT_TRUE(layers);
  const Precision precision = {.type = tensor::KvType::kQ4, .layers = *layers};
  EXPECT_EQ(precision.TypeOf(1), tensor::KvType::kQ8);
  EXPECT_EQ(precision.TypeOf(2), tensor::KvType::kBF16);
  EXPECT_EQ(precision.TypeOf(4), tensor::KvType::kQ4);
  EXPECT_EQ(precision.Text(), "q4, 0-3=q8, 2=bf16");
  EXPECT_TRUE(precision.is_lossy());
  EXPECT_FALSE(Precision().is_lossy());
  for (const char* wrong : {"", "0", "0=", "=q8", "3-1=q8", "a=q8", "1=q9", "1=q8,"}) {
    EXPECT_FALSE(ParseKvTypeLayers(wrong)) << wrong;
  }
}

class WindowedSequenceTest : public KvSequenceTest {
 protected:
  static constexpr uint32_t kBudget = 5;  // one block behind the sinks goes at a time

  WindowedSequenceTest() : sequence_(pool_, 2000) {
    EXPECT_TRUE(pool_.Promise(kBudget));
    sequence_.LimitTo(policy::Eviction(policy::PolicyKind::kWindow, kBudget));
  }

  // Appends as much as is let in at a time, and marks each slot with its token.
  void Grow(uint32_t n) {
    while (n > 0) {
      const uint32_t first = sequence_.n_tokens();
      const uint32_t part = std::min(n, sequence_.AppendRoom());
      ASSERT_GT(part, 0U);
      ASSERT_EQ(sequence_.Append(part, first), AppendOutcome::kAppended);
      for (uint32_t i = first; i < first + part; ++i) {
        Mark(sequence_, sequence_.SlotOf(i)) = static_cast<std::byte>(i * 7);
      }
      n -= part;
    }
  }
  void ExpectSound() const {
    ASSERT_LE(sequence_.blocks().size(), kBudget);
    ASSERT_EQ(sequence_.positions().size() + sequence_.n_dropped(), sequence_.n_tokens());
    ASSERT_EQ(sequence_.blocks().size(), BlockPool::BlocksFor(sequence_.positions().size()));
    for (uint32_t slot = 0; slot < sequence_.positions().size(); ++slot) {
      const uint32_t token = sequence_.positions()[slot];
      ASSERT_EQ(token, slot < kBlockTokens ? slot : slot + sequence_.n_dropped());
      ASSERT_EQ(sequence_.SlotOf(token), slot);
      ASSERT_EQ(Mark(sequence_, slot), static_cast<std::byte>(token * 7));
    }
  }

  KvSequence sequence_;
};

TEST_F(WindowedSequenceTest, KeepsTheFirstAndTheNewest) {
  for (int i = 0; i < 300; ++i) {
    Grow(static_cast<uint32_t>(1 + i % 7));
    ExpectSound();
  }
  EXPECT_EQ(pool_.n_blocks(), kBudget);
  EXPECT_GT(sequence_.n_dropped(), 900U);
}

// As if it had never been longer.
TEST_F(WindowedSequenceTest, GoesBackOnlyToWhatItWouldHave) {
  for (uint32_t n = 1; n < 500; n += 13) {
    for (uint32_t back = 0; back < n; back += 29) {
      sequence_.Truncate(0);
      Grow(n);
      const uint32_t kept = sequence_.Keepable(n - back);
      ASSERT_LE(kept, n - back);
      sequence_.Truncate(kept);
      ASSERT_EQ(sequence_.n_tokens(), kept);
      ExpectSound();
      const uint32_t n_begun = static_cast<uint32_t>(BlockPool::BlocksFor(kept));
      ASSERT_EQ(
          sequence_.n_dropped(),
          policy::Eviction(policy::PolicyKind::kWindow, kBudget).Dropped(n_begun) * kBlockTokens);
      Grow(70);
      ExpectSound();
    }
  }
}

TEST_F(WindowedSequenceTest, KeepsWhatNothingWasDroppedSince) {
  Grow(kBudget * kBlockTokens + 20);  // the last block was just begun
  EXPECT_EQ(sequence_.Keepable(kBudget * kBlockTokens + 3), kBudget * kBlockTokens + 3);
  EXPECT_EQ(sequence_.Keepable(kBudget * kBlockTokens), kBlockTokens);
  EXPECT_EQ(sequence_.Keepable(7), 7U);
}

TEST_F(WindowedSequenceTest, ForksAndSnapshotsKeepWhatItHad) {
  ASSERT_TRUE(pool_.Promise(2 * kBudget));
  Grow(400);
  const auto fork = sequence_.Fork();
  const auto snapshot = sequence_.Snapshot();
  Grow(100);
  EXPECT_EQ(fork->n_tokens(), 400U);
  sequence_.Restore(*snapshot);
  EXPECT_EQ(sequence_.n_tokens(), 400U);
  ExpectSound();
  Grow(100);
  ExpectSound();
}

TEST_F(WindowedSequenceTest, KeepsALongerReference) {
  for (const auto positions : {policy::Positions::kKept, policy::Positions::kCompact}) {
    sequence_.Truncate(0);
    sequence_.LimitTo(policy::Eviction(policy::PolicyKind::kWindow, kBudget,
                                       {.positions = positions, .n_sinks = 3}));
    while (sequence_.n_tokens() < 600) {
      Grow(std::min(sequence_.AppendRoom(), 20U));
      (void)sequence_.TakeMoved();
      ASSERT_LE(sequence_.blocks().size(), kBudget);
      for (uint32_t token = 0; token < std::min(96U, sequence_.n_tokens()); ++token) {
        ASSERT_EQ(Mark(sequence_, token), static_cast<std::byte>(token * 7));
        ASSERT_EQ(sequence_.positions()[token], token);
      }
      const uint32_t last = sequence_.n_tokens() - 1;
      ASSERT_EQ(Mark(sequence_, sequence_.SlotOf(last)), static_cast<std::byte>(last * 7));
    }
    EXPECT_EQ(sequence_.Keepable(300), 96U);
    EXPECT_EQ(sequence_.Keepable(70), 70U);
  }
}

class CompactSequenceTest : public KvSequenceTest {
 protected:
  static constexpr uint32_t kBudget = 9;  // two blocks behind the sinks go at a time
  static constexpr uint32_t kGone = 2 * kBlockTokens;

  CompactSequenceTest() : sequence_(pool_, 2000) {
    EXPECT_TRUE(pool_.Promise(kBudget));
    sequence_.LimitTo(policy::Eviction(policy::PolicyKind::kWindow, kBudget,
                                       {.positions = policy::Positions::kCompact}));
  }

  // Appends up to n tokens; whether others were dropped for them.
  bool Grow(uint32_t n) {
    const uint32_t first = sequence_.n_tokens();
    const uint32_t n_slots = static_cast<uint32_t>(sequence_.positions().size());
    const uint32_t n_dropped = sequence_.n_dropped();
    EXPECT_EQ(sequence_.Append(std::min(n, sequence_.AppendRoom()), first),
              AppendOutcome::kAppended);
    const auto moved = sequence_.TakeMoved();
    EXPECT_EQ(moved.has_value(), sequence_.n_dropped() > n_dropped);
    if (moved) {
      EXPECT_EQ(moved->first, kBlockTokens);
      EXPECT_EQ(moved->end, n_slots - kGone);
      EXPECT_EQ(moved->distance, -int64_t{kGone});
    }
    EXPECT_FALSE(sequence_.TakeMoved());
    return moved.has_value();
  }

  KvSequence sequence_;
};

TEST_F(CompactSequenceTest, TokensStandOneBehindAnother) {
  uint32_t n_moved = 0;
  while (sequence_.n_tokens() < 1500) {
    n_moved += Grow(1 + sequence_.n_tokens() % 50) ? 1U : 0U;
    const auto positions = sequence_.positions();
    ASSERT_LE(positions.size(), kBudget * kBlockTokens);
    for (uint32_t slot = 0; slot < positions.size(); ++slot) {
      ASSERT_EQ(positions[slot], slot);
    }
    const uint32_t last = sequence_.n_tokens() - 1;
    ASSERT_EQ(sequence_.PositionOf(last), positions.size() - 1);
  }
  EXPECT_EQ(n_moved, sequence_.n_dropped() / kGone);
}

// What is turned is the sequence's own, whoever had it too.
TEST_F(CompactSequenceTest, OthersKeepTheirKeys) {
  ASSERT_TRUE(pool_.Promise(kBudget));
  while (!Grow(kBlockTokens)) {
    Mark(sequence_, sequence_.SlotOf(sequence_.n_tokens() - 1)) = std::byte{1};
  }
  while (sequence_.AppendRoom() < kGone) {  // up to the next drop
    Grow(sequence_.AppendRoom());
  }
  const auto snapshot = sequence_.Snapshot();
  const std::vector<BlockId> before(sequence_.blocks().begin(), sequence_.blocks().end());
  const size_t n_free = pool_.n_free();
  const uint64_t n_wanted = sequence_.BlocksToAppend(1);
  EXPECT_TRUE(Grow(1));
  EXPECT_EQ(n_free - pool_.n_free(), kBudget - 2);
  EXPECT_GE(n_wanted, kBudget - 3);
  EXPECT_EQ(sequence_.blocks()[0].value, before[0].value);
  for (size_t i = 1; i < sequence_.blocks().size(); ++i) {
    for (const BlockId block : before) {
      EXPECT_NE(sequence_.blocks()[i].value, block.value);
    }
  }
  sequence_.Restore(*snapshot);
  EXPECT_TRUE(std::ranges::equal(sequence_.blocks(), before, {}, &BlockId::value, &BlockId::value));
  EXPECT_EQ(sequence_.positions().back(), sequence_.positions().size() - 1);
}

TEST_F(CompactSequenceTest, NothingIsLeftToTurnWhereItWentBack) {
  while (sequence_.n_tokens() < kBudget * kBlockTokens) {
    Grow(kBlockTokens);
  }
  ASSERT_EQ(sequence_.Append(1, sequence_.n_tokens()), AppendOutcome::kAppended);
  sequence_.Truncate(sequence_.Keepable(kBudget * kBlockTokens));
  EXPECT_EQ(sequence_.n_tokens(), kBlockTokens);
  EXPECT_FALSE(sequence_.TakeMoved());
}

TEST(BlockLayout, QueriesLieInBlocksOfTheirOwn) {
  const BlockLayout layout({{.n_kv_heads = 1, .head_dim_k = 16, .head_dim_v = 16, .n_heads = 3},
                            {.n_kv_heads = 2,
                             .head_dim_k = 8,
                             .head_dim_v = 4,
                             .type = tensor::KvType::kQ8,
                             .n_heads = 2}});
  std::vector<std::pair<uint64_t, uint64_t>> places;
  const auto add = [&](BlockLayout::Place place, uint64_t dim) {
    ASSERT_LT(place.block, layout.n_query_blocks());
    const uint64_t begin = place.block * layout.block_bytes() + place.offset;
    places.emplace_back(begin, begin + kBlockTokens * dim * sizeof(uint16_t));
    ASSERT_LE(place.offset + kBlockTokens * dim * sizeof(uint16_t), layout.block_bytes());
  };
  for (uint32_t head = 0; head < 3; ++head) {
    add(layout.queries(0, head), 16);
  }
  for (uint32_t head = 0; head < 2; ++head) {
    add(layout.queries(1, head), 8);
  }
  std::ranges::sort(places);
  for (size_t i = 1; i < places.size(); ++i) {
    EXPECT_LE(places[i - 1].second, places[i].first);
  }
}

// Nothing is asked of it that only kArkv needs.
class PlainScorer : public policy::SlotScorer {
 public:
  void ScoreAndWeigh(const KvSequence& /*sequence*/, const WeighedLayerFn& /*on_layer*/) override {}
  void Quantize(const KvSequence& /*sequence*/,
                std::span<const policy::LayerBlock> /*originals*/) override {}
};

// As if attention looked at every 32 positions with a weight of their own.
class FakeScorer final : public PlainScorer {
 public:
  void Score(const KvSequence& sequence, const LayerFn& on_layer) override {
    ++n_calls;
    std::vector<float> scores;
    for (int head = 0; head < 2; ++head) {
      for (const uint32_t position : sequence.positions()) {
        scores.push_back(Of(position));
      }
    }
    on_layer(0, scores);
  }
  static float Of(uint32_t position) {
    return static_cast<float>(position / kBlockTokens * 7919 % 101);
  }
  int n_calls = 0;
};

class ScoredSequenceTest : public testing::Test {
 protected:
  static constexpr uint32_t kBudget = 9;  // two of the seven between the first and the newest go

  ScoredSequenceTest()
      : pool_(ledger_,
              BlockLayout({{.n_kv_heads = 2, .head_dim_k = 8, .head_dim_v = 4, .n_heads = 6}})) {
    EXPECT_EQ(pool_.layout().n_query_blocks(), 2U);
    EXPECT_TRUE(pool_.Promise(kBudget + 2));
  }

  std::unique_ptr<KvSequence> NewSequence() {
    auto sequence = std::make_unique<KvSequence>(pool_, 2000);
    sequence->LimitTo({policy::PolicyKind::kBlock, kBudget}, &scorer_);
    return sequence;
  }
  static std::byte& Mark(const KvSequence& s, uint32_t slot) {
    return s.MutableBlock(slot)[slot % kBlockTokens * 16];
  }
  // Appends as much as is let in at a time, and marks each slot with its token.
  static void Grow(KvSequence& sequence, uint32_t n) {
    while (n > 0) {
      const uint32_t first = sequence.n_tokens();
      const uint32_t part = std::min(n, sequence.AppendRoom());
      ASSERT_GT(part, 0U);
      ASSERT_EQ(sequence.Append(part, first), AppendOutcome::kAppended);
      for (uint32_t i = first; i < first + part; ++i) {
        Mark(sequence, sequence.SlotOf(i)) = static_cast<std::byte>(i * 7);
      }
      n -= part;
    }
  }
  static void ExpectSound(const KvSequence& sequence) {
    const auto positions = sequence.positions();
    ASSERT_LE(sequence.blocks().size(), kBudget);
    ASSERT_EQ(sequence.open_blocks().size(), 2U);
    ASSERT_EQ(positions.size() + sequence.n_dropped(), sequence.n_tokens());
    ASSERT_TRUE(std::ranges::is_sorted(positions));
    for (uint32_t slot = 0; slot < positions.size(); ++slot) {
      ASSERT_EQ(positions[slot] % kBlockTokens, slot % kBlockTokens);
      ASSERT_EQ(Mark(sequence, slot), static_cast<std::byte>(positions[slot] * 7));
    }
  }
  static std::vector<uint32_t> PositionsOf(const KvSequence& sequence) {
    return {sequence.positions().begin(), sequence.positions().end()};
  }

  memory::Ledger ledger_{kMiB};
  BlockPool pool_;
  FakeScorer scorer_;
};

TEST_F(ScoredSequenceTest, KeepsWhatAttentionLooksAtHoweverItGrows) {
  std::vector<uint32_t> positions;
  {
    const auto sequence = NewSequence();
    for (uint32_t i = 0; i < 300; ++i) {
      Grow(*sequence, 1 + i % 7);
      ExpectSound(*sequence);
    }
    positions = PositionsOf(*sequence);
    EXPECT_EQ(pool_.n_blocks(), kBudget + 2);
  }
  EXPECT_GT(scorer_.n_calls, 10);
  const auto sequence = NewSequence();
  Grow(*sequence, positions.back() + 1);
  EXPECT_EQ(PositionsOf(*sequence), positions);
}

TEST_F(ScoredSequenceTest, TheLowestOfThoseBetweenGo) {
  const auto sequence = NewSequence();
  Grow(*sequence, kBudget * kBlockTokens);
  EXPECT_EQ(scorer_.n_calls, 0);
  Grow(*sequence, 1);
  EXPECT_EQ(scorer_.n_calls, 1);
  // 7919 % 101 is 41: blocks 1 to 7 have 41, 82, 22, 63, 3, 44, 85.
  std::vector<uint32_t> first;
  for (size_t i = 0; i < sequence->positions().size(); i += kBlockTokens) {
    first.push_back(sequence->positions()[i] / kBlockTokens);
  }
  EXPECT_EQ(first, (std::vector<uint32_t>{0, 1, 2, 4, 6, 7, 8, 9}));
}

TEST_F(ScoredSequenceTest, KeepsTheQueriesOfTheBlockThatFillsIt) {
  const auto sequence = NewSequence();
  for (uint32_t token = 0; token < 1000; ++token) {
    const uint32_t room = sequence->AppendRoom();
    Grow(*sequence, 1);
    const uint32_t slot = sequence->SlotOf(token);
    ASSERT_EQ(sequence->KeepsQueryOf(slot), slot >= (kBudget - 1) * kBlockTokens);
    // What is appended at once never leaves the block whose queries are kept behind.
    ASSERT_LE(slot + room, kBudget * kBlockTokens);
  }
}

// As if it had never been longer.
TEST_F(ScoredSequenceTest, GoesBackOnlyToWhatItWouldHave) {
  const auto sequence = NewSequence();
  for (uint32_t n = 1; n < 700; n += 41) {
    for (uint32_t back = 0; back < n; back += 53) {
      sequence->Truncate(0);
      Grow(*sequence, n);
      const uint32_t kept = sequence->Keepable(n - back);
      sequence->Truncate(kept);
      ASSERT_EQ(sequence->n_tokens(), kept);
      Grow(*sequence, 700 - kept);
      const auto positions = PositionsOf(*sequence);
      sequence->Truncate(0);
      Grow(*sequence, 700);
      ASSERT_EQ(PositionsOf(*sequence), positions) << n << " " << back;
    }
  }
}

TEST_F(ScoredSequenceTest, ForksAndSnapshotsHaveTheirOwnQueries) {
  ASSERT_TRUE(pool_.Promise(2 * (kBudget + 2)));
  const auto sequence = NewSequence();
  Grow(*sequence, 400);
  *sequence->Queries(0, 5) = std::byte{1};
  const auto fork_state = sequence->Fork();
  auto* fork = dynamic_cast<KvSequence*>(fork_state.get());
  const auto snapshot = sequence->Snapshot();
  Grow(*sequence, 100);
  *sequence->Queries(0, 5) = std::byte{2};
  EXPECT_EQ(*fork->Queries(0, 5), std::byte{1});
  Grow(*fork, 100);
  EXPECT_EQ(PositionsOf(*fork), PositionsOf(*sequence));
  sequence->Restore(*snapshot);
  EXPECT_EQ(sequence->n_tokens(), 400U);
  EXPECT_EQ(*sequence->Queries(0, 5), std::byte{1});
  ExpectSound(*sequence);
}

float Liking(uint32_t token) { return static_cast<float>(token * 7919 % 1009); }

class TokenScorer final : public PlainScorer {
 public:
  void Score(const KvSequence& sequence, const LayerFn& on_layer) override {
    std::vector<float> scores;
    for (uint32_t slot = 0; slot < sequence.positions().size(); ++slot) {
      scores.push_back(Liking(TokenAt(sequence, slot)));
    }
    on_layer(0, scores);
  }
};

class SnapSequenceTest : public testing::Test {
 protected:
  static constexpr uint32_t kBudget = 9;  // two blocks' worth goes at a time

  SnapSequenceTest() : pool_(ledger_, MarkedLayout()), sequence_(pool_, 2000) {
    EXPECT_TRUE(pool_.Promise(kBudget + 1));
    sequence_.LimitTo({policy::PolicyKind::kSnap, kBudget}, &scorer_);
  }

  void Grow(uint32_t n) {
    while (n > 0) {
      const uint32_t first = sequence_.n_tokens();
      const uint32_t part = std::min(n, sequence_.AppendRoom());
      ASSERT_EQ(sequence_.Append(part, first), AppendOutcome::kAppended);
      Mark(sequence_, first);
      n -= part;
    }
  }
  [[nodiscard]] std::vector<uint32_t> Tokens() const { return TokensOf(sequence_); }
  static std::vector<uint32_t> Expected(uint32_t n) { return BestTokens(n, kBudget, Liking); }

  memory::Ledger ledger_{kMiB};
  BlockPool pool_;
  TokenScorer scorer_;
  KvSequence sequence_;
};

TEST_F(SnapSequenceTest, KeepsTheTokensThatAreLikedMost) {
  for (uint32_t i = 0; sequence_.n_tokens() < 1300; ++i) {
    Grow(1 + i * 13 % 90);
    ASSERT_EQ(Tokens(), Expected(sequence_.n_tokens()));
    ASSERT_LE(sequence_.blocks().size(), kBudget);
  }
  EXPECT_EQ(pool_.n_blocks(), kBudget + 1);
}

TEST_F(SnapSequenceTest, GoesBackOnlyToWhatItWouldHave) {
  for (uint32_t back = 0; back < 600; back += 17) {
    sequence_.Truncate(0);
    Grow(600);
    sequence_.Truncate(sequence_.Keepable(600 - back));
    ASSERT_EQ(Tokens(), Expected(sequence_.n_tokens()));
    Grow(700 - sequence_.n_tokens());
    ASSERT_EQ(Tokens(), Expected(700));
  }
}

// What is gathered is the sequence's own, whoever had it too.
TEST_F(SnapSequenceTest, OthersKeepTheirSlots) {
  Grow(kBudget * kBlockTokens);
  const auto before = Tokens();
  const auto snapshot = sequence_.Snapshot();
  EXPECT_GE(sequence_.BlocksToAppend(1), kBudget - 4);
  EXPECT_EQ(sequence_.Append(1, kBudget * kBlockTokens), AppendOutcome::kNoRoom);
  ASSERT_TRUE(pool_.Promise(kBudget + 1));
  Grow(300);
  EXPECT_EQ(Tokens(), Expected(kBudget * kBlockTokens + 300));
  sequence_.Restore(*snapshot);
  EXPECT_EQ(Tokens(), before);
}

}  // namespace
}  // namespace plimsoll::kv
