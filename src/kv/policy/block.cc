// The first tokens, the newest, and the blocks between them to which the newest block's queries
// attend most (kv/policy/block_choice.h).
#include "kv/kv_sequence.h"
#include "kv/policy/block_choice.h"
#include "kv/policy/policies.h"

namespace plimsoll::kv::policy {
namespace {

class Block final : public Policy {
 public:
  Block(const Eviction& eviction, SlotScorer& scorer)
      : scorer_(scorer), scores_(eviction.budget()) {}

  void Choose(const KvSequence& sequence, uint32_t n_gone, Choice& choice) override {
    scores_.Clear(sequence.blocks().size());
    scorer_.Score(sequence, [this](size_t /*layer*/, std::span<const float> scores) {
      scores_.AddLayer(scores);
    });
    const auto lowest = scores_.Lowest(n_gone);
    choice.gone.assign(lowest.begin(), lowest.end());
  }

 private:
  SlotScorer& scorer_;
  BlockScores scores_;
};

std::unique_ptr<Policy> MakeBlock(const Eviction& eviction, const BlockLayout& /*layout*/,
                                  SlotScorer* scorer) {
  return std::make_unique<Block>(eviction, *scorer);
}

}  // namespace

constexpr PolicyType kBlockType = {
    .name = "block", .is_scored = true, .plan = PlanBlocks, .make = MakeBlock};

}  // namespace plimsoll::kv::policy
