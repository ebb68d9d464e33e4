#include "kv/recurrent_states.h"

#include <cstring>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "kv/kv_sequence.h"

namespace plimsoll::kv {
namespace {

constexpr BlockLayout::StatePieces kPieces = {
    .n_memories = 3, .memory_bytes = 400, .n_inputs = 2, .input_bytes = 24};

BlockLayout HybridLayout() {
  return BlockLayout({{.state = kPieces},
                      {.n_kv_heads = 1, .head_dim_k = 8, .head_dim_v = 8},
                      {.state = kPieces}});
}

TEST(HybridLayout, PiecesDoNotOverlapAndRecurrentLayersTakeNothingOfABlock) {
  const BlockLayout layout = HybridLayout();
  EXPECT_EQ(layout.block_bytes(), 32U * 16 * 2);
  EXPECT_EQ(layout.n_state_blocks(), 3U);
  std::vector<std::pair<uint64_t, uint64_t>> taken;
  for (const size_t layer : {size_t{0}, size_t{2}}) {
    for (uint32_t i = 0; i < 5; ++i) {
      const bool is_memory = i < 3;
      const auto place =
          is_memory ? layout.state_memory(layer, i) : layout.state_input(layer, i - 3);
      const uint64_t begin = place.block * layout.block_bytes() + place.offset;
      const uint64_t end = begin + (is_memory ? kPieces.memory_bytes : kPieces.input_bytes);
      EXPECT_EQ(begin / layout.block_bytes(), (end - 1) / layout.block_bytes());
      EXPECT_EQ(begin % 64, 0U);
      for (const auto& [first, last] : taken) {
        EXPECT_TRUE(end <= first || last <= begin);
      }
      taken.emplace_back(begin, end);
    }
  }
}

class RecurrentStatesTest : public testing::Test {
 protected:
  RecurrentStatesTest() : ledger_(kMiB), pool_(ledger_, HybridLayout()) {
    EXPECT_TRUE(pool_.Promise(64));
  }

  // As a pass would: a state says which tokens it is of.
  static void Compute(KvSequence& s, uint32_t n) {
    RecurrentStates& states = *s.states();
    uint32_t at = states.n_tokens();
    s.BeginPass(at, n);
    for (const RecurrentStates::Part& part : states.parts()) {
      EXPECT_EQ(part.from == nullptr ? 0 : TokensOf(*part.from), at);
      at += part.n_tokens;
      SetTokens(*part.to, at);
    }
  }
  static void SetTokens(const StateBlocks& state, uint32_t n) {
    std::memcpy(state.At({.block = 2, .offset = 0}), &n, sizeof(n));
  }
  static uint32_t TokensOf(const StateBlocks& state) {
    uint32_t n = 0;
    std::memcpy(&n, state.At({.block = 2, .offset = 0}), sizeof(n));
    return n;
  }
  static void Append(KvSequence& s, uint32_t n) {
    ASSERT_EQ(s.Append(n, s.n_tokens()), AppendOutcome::kAppended);
  }

  memory::Ledger ledger_;
  BlockPool pool_;
};

TEST_F(RecurrentStatesTest, APassThatFailsLeavesTheStateBeforeIt) {
  KvSequence s(pool_, 200);
  EXPECT_EQ(s.BlocksToAppend(40), 2U + 2 * 3);
  Append(s, 40);
  Compute(s, 40);
  s.EndPass();
  EXPECT_EQ(s.states()->n_tokens(), 40U);
  for (int i = 0; i < 3; ++i) {
    Append(s, 5);
    Compute(s, 5);  // each finds a state of 40 tokens
    EXPECT_EQ(s.Keepable(40), 40U);
    s.Truncate(40);
  }
  Append(s, 5);
  Compute(s, 5);
  s.EndPass();
  EXPECT_EQ(s.Keepable(44), 0U);
  s.Truncate(0);
  Append(s, 3);
  Compute(s, 3);
}

TEST_F(RecurrentStatesTest, MarksAreWrittenOnTheWayAndCanBeGoneBackTo) {
  KvSequence s(pool_, 200);
  ASSERT_TRUE(s.states()->Mark(32));
  ASSERT_TRUE(s.states()->Mark(96));
  ASSERT_TRUE(s.states()->Mark(64));
  Append(s, 100);
  Compute(s, 10);
  EXPECT_TRUE(s.states()->marked().empty());
  s.EndPass();
  Compute(s, 86);
  EXPECT_TRUE(s.states()->marked().empty());  // not before the pass has succeeded
  s.EndPass();
  ASSERT_EQ(s.states()->marked().size(), 3U);
  Compute(s, 4);  // from the mark
  s.EndPass();
  for (const auto& mark : s.states()->marked()) {
    EXPECT_EQ(TokensOf(*mark.state), mark.n_tokens);
  }
  s.states()->UnmarkBefore(64);
  EXPECT_EQ(s.Keepable(99), 96U);
  EXPECT_EQ(s.Keepable(95), 64U);
  EXPECT_EQ(s.Keepable(63), 0U);
  s.Truncate(64);
  EXPECT_EQ(s.states()->marked().size(), 1U);
  Append(s, 20);
  Compute(s, 20);
  s.EndPass();
  Append(s, 1);
  Compute(s, 1);
  s.EndPass();
  EXPECT_EQ(TokensOf(*s.states()->marked()[0].state), 64U);
  EXPECT_EQ(s.states()->n_tokens(), 85U);
}

// What a session is promised: its state, where the next one goes, and one mark.
TEST_F(RecurrentStatesTest, ThreeStatesDoForTurnAfterTurn) {
  const size_t n_free = pool_.n_free();
  KvSequence s(pool_, 2000);
  uint32_t n_prompt = 0;
  for (int turn = 0; turn < 5; ++turn) {
    n_prompt += 64;
    s.states()->UnmarkBefore(n_prompt);
    ASSERT_TRUE(s.states()->Mark(n_prompt));
    while (s.n_tokens() < n_prompt + 5) {
      const uint32_t n = std::min(50U, n_prompt + 5 - s.n_tokens());
      Append(s, n);
      Compute(s, n);
      s.EndPass();
    }
    s.Truncate(s.Keepable(n_prompt + 3));
    EXPECT_EQ(s.n_tokens(), n_prompt);
    EXPECT_EQ(n_free - pool_.n_free(), s.blocks().size() + 3 * 3);
  }
}

TEST_F(RecurrentStatesTest, WithoutRoomThereIsNoMark) {
  KvSequence s(pool_, 200);
  std::vector<BlockId> taken;
  while (pool_.n_free() > 2) {
    taken.push_back(*pool_.Allocate());
  }
  EXPECT_FALSE(s.states()->Mark(32));
  EXPECT_EQ(pool_.n_free(), 2U);
  EXPECT_EQ(s.Append(1, 0), AppendOutcome::kNoRoom);
  for (const BlockId block : taken) {
    pool_.DropReference(block);
  }
}

TEST_F(RecurrentStatesTest, OthersGoOnFromAStateThatStaysAsItIs) {
  auto first = std::make_unique<KvSequence>(pool_, 200);
  ASSERT_TRUE(first->states()->Mark(32));
  Append(*first, 40);
  Compute(*first, 40);
  first->EndPass();
  const auto mark = first->states()->marked()[0];
  const auto other = KvSequence::OfBlocks(pool_, 200, first->blocks().first(1), 32,
                                          StateBlocks::Share(pool_, mark.state->blocks()));
  Append(*other, 8);
  Compute(*other, 8);
  other->EndPass();
  Append(*other, 1);
  Compute(*other, 1);
  other->EndPass();
  EXPECT_EQ(TokensOf(*mark.state), 32U);

  const auto fork_state = first->Fork();
  auto& fork = dynamic_cast<KvSequence&>(*fork_state);
  const auto snapshot = first->Snapshot();
  for (int i = 0; i < 2; ++i) {
    Append(*first, 1);
    Compute(*first, 1);
    first->EndPass();
  }
  Append(fork, 1);
  Compute(fork, 1);
  first->Restore(*snapshot);
  EXPECT_EQ(first->n_tokens(), 40U);
  Append(*first, 1);
  Compute(*first, 1);
}

TEST_F(RecurrentStatesTest, BlocksComeBack) {
  {
    KvSequence s(pool_, 200);
    ASSERT_TRUE(s.states()->Mark(32));
    Append(s, 40);
    Compute(s, 40);
    s.EndPass();
    const auto snapshot = s.Snapshot();
  }
  EXPECT_EQ(pool_.n_free(), 64U);
}

}  // namespace
}  // namespace plimsoll::kv
