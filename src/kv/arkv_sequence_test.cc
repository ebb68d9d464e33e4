// Sequences that have some of their blocks in 16 bits and the others quantized, layer by layer.
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "kv/kv_sequence.h"
#include "kv/policy/policy_options.h"

namespace plimsoll::kv {
namespace {

// Two quantized layers around one in 16 bits: of the first the keys' rows fit in the block, of the
// last none.
BlockLayout ArkvLayout() {
  return BlockLayout({{.n_kv_heads = 2,
                       .head_dim_k = 32,
                       .head_dim_v = 32,
                       .type = tensor::KvType::kQ8,
                       .n_heads = 2},
                      {.n_kv_heads = 1, .head_dim_k = 16, .head_dim_v = 16, .n_heads = 1},
                      {.n_kv_heads = 1,
                       .head_dim_k = 48,
                       .head_dim_v = 16,
                       .type = tensor::KvType::kQ4,
                       .n_heads = 3}});
}
constexpr size_t kQuantizedLayers[] = {0, 2};

TEST(BlockLayout, OriginalsLieInTheBlockAsFarAsTheyFit) {
  const BlockLayout layout = ArkvLayout();
  EXPECT_EQ(layout.n_quantized_layers(), 2U);
  EXPECT_TRUE(layout.original_k(0, 0).in_block);
  EXPECT_TRUE(layout.original_k(0, 1).in_block);
  EXPECT_FALSE(layout.original_v(0, 0).in_block);
  EXPECT_FALSE(layout.original_k(2, 0).in_block);
  EXPECT_EQ(layout.original_bytes(), 4096U);
  EXPECT_EQ(layout.whole_block_bytes(), 8192U + 2048U + 4096U);
  // A row never lies before its codes, nor beyond its layer.
  EXPECT_EQ(layout.original_k(0, 0).offset, layout.k_offset(0, 0));
  EXPECT_GE(layout.original_k(0, 1).offset, layout.k_offset(0, 1));
  EXPECT_LE(layout.original_k(0, 1).offset + 2048, layout.k_offset(1, 0));
  // Heads so short that codes are longer than rows.
  const BlockLayout small({{.n_kv_heads = 2,
                            .head_dim_k = 4,
                            .head_dim_v = 4,
                            .type = tensor::KvType::kQ8,
                            .n_heads = 2}});
  EXPECT_FALSE(small.original_k(0, 0).in_block);
}

// What attention looks at is a matter of the position; layer 0 weighs three times what layer 2
// does. A quantized panel is its rows' sum, in every byte.
class ArkvScorer final : public policy::SlotScorer {
 public:
  void Score(const KvSequence& /*sequence*/, const LayerFn& /*on_layer*/) override {
    ADD_FAILURE() << "arkv has scores of its own";
  }
  void ScoreAndWeigh(const KvSequence& sequence, const WeighedLayerFn& on_layer) override {
    ++n_calls;
    for (size_t i = 0; i < 3; ++i) {
      std::vector<float> scores;
      for (uint32_t head = 0; head < sequence.layout().layer(i).n_kv_heads; ++head) {
        for (const uint32_t position : sequence.positions()) {
          scores.push_back(static_cast<float>(position / kBlockTokens * (7919 + 13 * i) % 101));
        }
      }
      on_layer(i, scores, i == 0 ? 3.0F : 1.0F);
    }
  }
  void Quantize(const KvSequence& sequence,
                std::span<const policy::LayerBlock> originals) override {
    const BlockLayout& layout = sequence.layout();
    for (const auto& [layer, block] : originals) {
      std::byte* data = sequence.MutableBlock(block * kBlockTokens);
      for (uint32_t head = 0; head < layout.layer(layer).n_kv_heads; ++head) {
        Make(layout.k_panel(layer), sequence.OriginalKeys(layer, head, block),
             data + layout.k_offset(layer, head));
      }
      for (uint32_t head = 0; head < layout.layer(layer).n_kv_heads; ++head) {
        Make(layout.v_panel(layer), sequence.OriginalValues(layer, head, block),
             data + layout.v_offset(layer, head));
      }
      ++n_quantized;
    }
  }
  static std::byte SumOf(std::span<const std::byte> bytes) {
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      sum += static_cast<unsigned>(bytes[i]) * static_cast<unsigned>(i % 7 + 1);
    }
    return static_cast<std::byte>(sum);
  }
  int n_calls = 0;
  int n_quantized = 0;

 private:
  static void Make(const tensor::KvPanel& panel, const std::byte* rows, std::byte* out) {
    std::memset(out, static_cast<int>(SumOf({rows, size_t{kBlockTokens} * panel.dim * 2})),
                panel.bytes());
  }
};

class ArkvSequenceTest : public testing::Test {
 protected:
  static constexpr uint32_t kBudget = 12;
  static constexpr uint32_t kOriginals = 5;  // of which two make room at a time
  static constexpr policy::Eviction kEviction{
      policy::PolicyKind::kArkv, kBudget, {.n_originals = kOriginals}};

  ArkvSequenceTest() : pool_(ledger_, ArkvLayout()) {
    n_beside_ = static_cast<uint32_t>(policy::BlocksBeside(layout(), kEviction));
    EXPECT_EQ(n_beside_, layout().BlocksForOriginals(kOriginals) + layout().n_query_blocks());
    EXPECT_TRUE(pool_.Promise(kBudget + n_beside_));
  }

  [[nodiscard]] const BlockLayout& layout() const { return pool_.layout(); }
  std::unique_ptr<KvSequence> NewSequence() {
    auto sequence = std::make_unique<KvSequence>(pool_, 2000);
    sequence->LimitTo(kEviction, &scorer_);
    return sequence;
  }
  // A head's keys (kind 0) or values (1) of a token.
  static std::vector<std::byte> Row(size_t layer, uint32_t head, int kind, uint32_t token,
                                    uint32_t dim) {
    std::vector<std::byte> row;
    for (uint32_t i = 0; i < dim * 2; ++i) {
      row.push_back(static_cast<std::byte>(token * 31 + layer * 7 + head * 3 +
                                           static_cast<uint32_t>(kind) * 101 + i * i));
    }
    return row;
  }
  template <class F>
  void ForEachHead(const F& f) const {  // layer, head, kind, dim
    for (const size_t layer : kQuantizedLayers) {
      for (uint32_t head = 0; head < layout().layer(layer).n_kv_heads; ++head) {
        f(layer, head, 0, layout().layer(layer).head_dim_k);
        f(layer, head, 1, layout().layer(layer).head_dim_v);
      }
    }
  }
  static std::byte* Rows(const KvSequence& s, size_t layer, uint32_t head, int kind,
                         uint32_t block) {
    return kind == 0 ? s.OriginalKeys(layer, head, block) : s.OriginalValues(layer, head, block);
  }
  void Compute(const KvSequence& s, uint32_t first, uint32_t end) const {
    for (uint32_t token = first; token < end; ++token) {
      const uint32_t slot = s.SlotOf(token);
      ForEachHead([&](size_t layer, uint32_t head, int kind, uint32_t dim) {
        std::ranges::copy(Row(layer, head, kind, token, dim),
                          Rows(s, layer, head, kind, slot / kBlockTokens) +
                              size_t{slot % kBlockTokens} * dim * 2);
      });
    }
  }
  void Grow(KvSequence& s, uint32_t n) const {
    while (n > 0) {
      const uint32_t first = s.n_tokens();
      const uint32_t part = std::min(n, s.AppendRoom());
      ASSERT_GT(part, 0U);
      ASSERT_LE(s.BlocksToAppend(part), pool_.n_free());
      ASSERT_EQ(s.Append(part, first), AppendOutcome::kAppended);
      ASSERT_EQ(s.PassTokens(s.SlotOf(first), part), part);
      s.BeginPass(s.SlotOf(first), part);
      Compute(s, first, first + part);
      n -= part;
    }
  }
  // Every slot has its token's keys and values, whole or quantized.
  void ExpectSound(const KvSequence& s) const {
    const auto positions = s.positions();
    ASSERT_LE(s.blocks().size(), kBudget);
    ASSERT_EQ(s.open_blocks().size(), n_beside_);
    size_t n_originals = 0;
    ForEachHead([&](size_t layer, uint32_t head, int kind, uint32_t dim) {
      const tensor::KvPanel panel = kind == 0 ? layout().k_panel(layer) : layout().v_panel(layer);
      for (uint32_t block = 0; block < s.blocks().size(); ++block) {
        std::vector<std::byte> rows;
        for (uint32_t i = block * kBlockTokens;
             i < std::min<size_t>(positions.size(), (block + 1) * size_t{kBlockTokens}); ++i) {
          const auto row = Row(layer, head, kind, positions[i], dim);
          rows.insert(rows.end(), row.begin(), row.end());
        }
        if (s.originals()->Has(layer, block)) {
          n_originals += head == 0 && kind == 0 ? 1 : 0;
          ASSERT_TRUE(
              std::ranges::equal(rows, std::span(Rows(s, layer, head, kind, block), rows.size())))
              << layer << " " << head << " " << kind << " " << block;
        } else {
          const std::byte* at =
              s.block_table()[block] +
              (kind == 0 ? layout().k_offset(layer, head) : layout().v_offset(layer, head));
          const std::vector<std::byte> codes(panel.bytes(), ArkvScorer::SumOf(rows));
          ASSERT_TRUE(std::ranges::equal(codes, std::span(at, panel.bytes())))
              << layer << " " << head << " " << kind << " " << block;
        }
      }
    });
    ASSERT_LE(n_originals, size_t{2} * kOriginals);
    for (const size_t layer : kQuantizedLayers) {
      ASSERT_TRUE(s.originals()->Has(layer, 0));
      ASSERT_TRUE(s.originals()->Has(layer, static_cast<uint32_t>(s.blocks().size() - 1)));
    }
  }
  // Positions, and which blocks are originals.
  [[nodiscard]] std::vector<uint32_t> StateOf(const KvSequence& s) const {
    std::vector<uint32_t> state(s.positions().begin(), s.positions().end());
    for (const size_t layer : kQuantizedLayers) {
      for (uint32_t block = 0; block < s.blocks().size(); ++block) {
        state.push_back(s.originals()->Has(layer, block) ? 1 : 0);
      }
    }
    return state;
  }

  memory::Ledger ledger_{4 * kMiB};
  BlockPool pool_;
  ArkvScorer scorer_;
  uint32_t n_beside_ = 0;
};

TEST_F(ArkvSequenceTest, EverySlotHasItsTokenHoweverItGrows) {
  std::vector<uint32_t> state;
  uint32_t n = 0;
  {
    const auto sequence = NewSequence();
    for (uint32_t i = 0; i < 200; ++i) {
      Grow(*sequence, 1 + i % 11);
      ExpectSound(*sequence);
    }
    state = StateOf(*sequence);
    n = sequence->n_tokens();
    EXPECT_EQ(pool_.n_blocks(), kBudget + n_beside_);
  }
  EXPECT_GT(scorer_.n_quantized, 20);
  const auto sequence = NewSequence();
  Grow(*sequence, n);
  ExpectSound(*sequence);
  EXPECT_EQ(StateOf(*sequence), state);
}

// Nothing is quantized before the originals are used up, and nothing goes before the budget is.
TEST_F(ArkvSequenceTest, QuantizesFirstAndDropsLater) {
  const auto sequence = NewSequence();
  Grow(*sequence, kOriginals * kBlockTokens);
  EXPECT_EQ(scorer_.n_calls, 0);
  Grow(*sequence, 1);
  EXPECT_EQ(scorer_.n_calls, 1);
  EXPECT_EQ(sequence->n_dropped(), 0U);
  // Of 5 blocks in 2 layers, two places each are wanted; the first layer weighs three times as
  // much.
  const auto count = [&](size_t layer) {
    size_t n = 0;
    for (uint32_t b = 1; b + 1 < sequence->blocks().size(); ++b) {
      n += sequence->originals()->Has(layer, b) ? 1U : 0U;
    }
    return n;
  };
  EXPECT_EQ(count(0), 3U);
  EXPECT_EQ(count(2), 1U);
  Grow(*sequence, 11 * kBlockTokens - sequence->n_tokens());
  EXPECT_EQ(sequence->n_dropped(), 0U);
  Grow(*sequence, 1);
  EXPECT_EQ(sequence->n_dropped(), kBlockTokens);
}

TEST_F(ArkvSequenceTest, KeepsTheQueriesOfTheBlockBeforeItMakesRoom) {
  const auto sequence = NewSequence();
  for (uint32_t token = 0; token < 1000; ++token) {
    Grow(*sequence, 1);
    const uint32_t begun = token / kBlockTokens + 1;
    ASSERT_EQ(sequence->KeepsQueryOf(sequence->SlotOf(token)), kEviction.Room(begun) == 0);
  }
}

// As if it had never been longer.
TEST_F(ArkvSequenceTest, GoesBackOnlyToWhatItWouldHave) {
  const auto sequence = NewSequence();
  Grow(*sequence, 700);
  const auto expected = StateOf(*sequence);
  for (uint32_t n = 1; n < 700; n += 41) {
    for (uint32_t back = 0; back < n; back += 53) {
      sequence->Truncate(0);
      Grow(*sequence, n);
      const uint32_t kept = sequence->Keepable(n - back);
      sequence->Truncate(kept);
      ASSERT_EQ(sequence->n_tokens(), kept);
      Grow(*sequence, 700 - kept);
      ExpectSound(*sequence);
      ASSERT_EQ(StateOf(*sequence), expected) << n << " " << back;
    }
  }
}

TEST_F(ArkvSequenceTest, ForksAndSnapshotsKeepWhatTheyHad) {
  ASSERT_TRUE(pool_.Promise(2 * (kBudget + n_beside_)));
  for (const uint32_t n : {100U, 160U, 400U, 403U}) {
    const auto sequence = NewSequence();
    Grow(*sequence, n);
    const auto state = StateOf(*sequence);
    const auto fork_state = sequence->Fork();
    auto* fork = dynamic_cast<KvSequence*>(fork_state.get());
    const auto snapshot = sequence->Snapshot();
    Grow(*sequence, 200);
    ExpectSound(*sequence);
    ExpectSound(*fork);
    ASSERT_EQ(StateOf(*fork), state);
    Grow(*fork, 200);
    ExpectSound(*fork);
    ASSERT_EQ(StateOf(*fork), StateOf(*sequence));
    sequence->Restore(*snapshot);
    ExpectSound(*sequence);
    ASSERT_EQ(StateOf(*sequence), state);
    Grow(*sequence, 200);
    ExpectSound(*sequence);
    ASSERT_EQ(StateOf(*fork), StateOf(*sequence));
  }
}

// Who reads a long prompt takes blocks for all of it at first, though it has fewer until later.
TEST_F(ArkvSequenceTest, WhatIsReservedIsThere) {
  const auto sequence = NewSequence();
  EXPECT_EQ(sequence->BlocksToReserve(3 * kBlockTokens), 3U);
  EXPECT_EQ(sequence->BlocksToReserve(1000), kBudget);
  sequence->Reserve(1000);
  EXPECT_EQ(sequence->BlocksToReserve(1000), 0U);
  EXPECT_EQ(sequence->BlocksToAppend(1), n_beside_);
  ASSERT_EQ(sequence->Append(1, 0), AppendOutcome::kAppended);
  EXPECT_EQ(pool_.n_free(), 0U);  // another may have what was left
  Compute(*sequence, 0, 1);
  Grow(*sequence, 999);
  ExpectSound(*sequence);
  sequence->Truncate(0);
  EXPECT_EQ(pool_.n_free(), kBudget + n_beside_);
}

// A block that somebody else has too is copied before a layer of it is quantized.
TEST_F(ArkvSequenceTest, NoRoomForCopiesChangesNothing) {
  const auto sequence = NewSequence();
  Grow(*sequence, 11 * kBlockTokens);
  const auto state = StateOf(*sequence);
  {
    const auto snapshot = sequence->Snapshot();
    ASSERT_GT(sequence->BlocksToAppend(1), pool_.n_free());
    ASSERT_EQ(sequence->Append(1, sequence->n_tokens()), AppendOutcome::kNoRoom);
    ExpectSound(*sequence);
    EXPECT_EQ(StateOf(*sequence), state);
  }
  Grow(*sequence, 300);
  ExpectSound(*sequence);
}

}  // namespace
}  // namespace plimsoll::kv
