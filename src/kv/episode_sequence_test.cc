// Sequences of which a patch prompt decides what goes.
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "kv/kv_sequence.h"
#include "kv/marked_tokens.h"

namespace plimsoll::kv {
namespace {

// Of a model with one head, whose keys say which token's they are; tokens are liked otherwise by
// each block that looks at them.
class EpisodeSequenceTest : public testing::Test {
 protected:
  static constexpr uint32_t kBudget = 9;
  static constexpr uint32_t kLookers = 3;

  class Scorer final : public policy::SlotScorer {
   public:
    void ScoreAndWeigh(const KvSequence& /*sequence*/,
                       const WeighedLayerFn& /*on_layer*/) override {}
    void Quantize(const KvSequence& /*sequence*/,
                  std::span<const policy::LayerBlock> /*originals*/) override {}
    void Score(const KvSequence& sequence, const LayerFn& on_layer) override {
      ++n_calls;
      std::vector<float> scores;
      for (uint32_t slot = 0; slot < sequence.positions().size(); ++slot) {
        scores.push_back(slot < kBudget * kBlockTokens ? Liking(TokenAt(sequence, slot), looker)
                                                       : 1e6F);
      }
      on_layer(0, scores);
    }
    std::span<float> merged_scores() override { return merged; }
    static float Liking(uint32_t token, uint32_t looker) {
      return static_cast<float>((token + 31 * looker) * 7919 % 1009);
    }

    uint32_t looker = 0;
    int n_calls = 0;
    std::vector<float> merged = std::vector<float>(kBudget * kBlockTokens, 1e9F);
  };

  EpisodeSequenceTest() : pool_(ledger_, MarkedLayout()), sequence_(pool_, 16000) {
    EXPECT_TRUE(pool_.Promise(kBudget + 2));
    sequence_.LimitTo({policy::PolicyKind::kEpisode, kBudget}, &scorer_);
  }

  // One block after another, as far as `n_computed` of them.
  void Look(uint32_t n_computed) {
    for (scorer_.looker = 0; scorer_.looker < kLookers; ++scorer_.looker) {
      const uint32_t n_tokens = sequence_.n_tokens();
      const uint32_t n_slots = static_cast<uint32_t>(sequence_.positions().size());
      ASSERT_TRUE(sequence_.BeginLook());
      ASSERT_EQ(sequence_.n_tokens(), n_tokens + kBlockTokens);
      ASSERT_EQ(sequence_.SlotOf(n_tokens), n_slots);
      ASSERT_EQ(sequence_.positions()[n_slots], n_tokens);
      ASSERT_TRUE(sequence_.KeepsQueryOf(n_slots));
      std::memset(sequence_.MutableBlock(n_slots), 0xff, pool_.layout().block_bytes());
      sequence_.EndLook(scorer_.looker < n_computed);
      ASSERT_EQ(sequence_.n_tokens(), n_tokens);
      ASSERT_EQ(sequence_.positions().size(), n_slots);
      ASSERT_EQ(sequence_.blocks().size(), kBudget);
      if (scorer_.looker == n_computed) {
        return;
      }
    }
  }
  void Grow(uint32_t n) {
    while (n > 0) {
      const uint32_t first = sequence_.n_tokens();
      const uint32_t part = std::min(n, sequence_.AppendRoom());
      if (sequence_.WantsLook(part)) {
        Look(1);  // a pass that failed
        ASSERT_TRUE(sequence_.WantsLook(part));
        Look(kLookers);
        ASSERT_FALSE(sequence_.WantsLook(part));
      }
      ASSERT_EQ(sequence_.Append(part, first), AppendOutcome::kAppended);
      Mark(sequence_, first);
      n -= part;
    }
  }
  [[nodiscard]] std::vector<uint32_t> Tokens() const { return TokensOf(sequence_); }
  static std::vector<uint32_t> Expected(uint32_t n) {
    return BestTokens(n, kBudget, [](uint32_t token) {
      float most = 0;
      for (uint32_t looker = 0; looker < kLookers; ++looker) {
        most = std::max(most, Scorer::Liking(token, looker));
      }
      return most;
    });
  }

  memory::Ledger ledger_{kMiB};
  BlockPool pool_;
  Scorer scorer_;
  KvSequence sequence_;
};

TEST_F(EpisodeSequenceTest, KeepsWhatAnyOfThoseThatLookLikesMost) {
  for (uint32_t i = 0; sequence_.n_tokens() < 1300; ++i) {
    Grow(1 + i * 13 % 90);
    ASSERT_EQ(Tokens(), Expected(sequence_.n_tokens()));
  }
}

// Fifty times what it may have, token by token.
TEST_F(EpisodeSequenceTest, NeverHasMoreThanItsBudgetAndABlockThatLooks) {
  while (sequence_.n_tokens() < 50 * kBudget * kBlockTokens) {
    Grow(1);
    ASSERT_LE(sequence_.blocks().size(), kBudget);
    ASSERT_LE(pool_.n_blocks() - pool_.n_free(), kBudget + 2);
  }
  EXPECT_EQ(pool_.n_blocks(), kBudget + 2);
}

TEST_F(EpisodeSequenceTest, GoesBackOnlyToWhatItWouldHave) {
  for (uint32_t back = 0; back < 600; back += 17) {
    sequence_.Truncate(0);
    Grow(600);
    sequence_.Truncate(sequence_.Keepable(600 - back));
    ASSERT_EQ(Tokens(), Expected(sequence_.n_tokens()));
    Grow(700 - sequence_.n_tokens());
    ASSERT_EQ(Tokens(), Expected(700));
  }
}

// What was seen of one that went on otherwise counts nothing.
TEST_F(EpisodeSequenceTest, ForgetsWhatWasSeenWhereItGoesBack) {
  Grow(kBudget * kBlockTokens);
  Look(kLookers);
  EXPECT_FALSE(sequence_.WantsLook(1));
  sequence_.Truncate(40);
  Grow(kBudget * kBlockTokens - 40);
  EXPECT_TRUE(sequence_.WantsLook(1));
}

TEST_F(EpisodeSequenceTest, WithoutAPatchPromptTheNewestBlockDecides) {
  Grow(kBudget * kBlockTokens);
  const int n_before = scorer_.n_calls;
  scorer_.looker = 0;
  ASSERT_EQ(sequence_.Append(1, kBudget * kBlockTokens), AppendOutcome::kAppended);
  EXPECT_EQ(scorer_.n_calls, n_before + 1);
  EXPECT_EQ(sequence_.blocks().size(), kBudget - 1);
}

// Nor do those who share its blocks see that it is looked at.
TEST_F(EpisodeSequenceTest, OthersKeepTheirSlots) {
  Grow(kBudget * kBlockTokens);
  const auto before = Tokens();
  const auto snapshot = sequence_.Snapshot();
  EXPECT_FALSE(sequence_.BeginLook());  // its queries and the block that looks are shared
  EXPECT_EQ(sequence_.blocks().size(), kBudget);
  ASSERT_TRUE(pool_.Promise(kBudget + 2));
  Grow(300);
  EXPECT_EQ(Tokens(), Expected(kBudget * kBlockTokens + 300));
  sequence_.Restore(*snapshot);
  EXPECT_EQ(Tokens(), before);
}

}  // namespace
}  // namespace plimsoll::kv
