// The first tokens, the newest, and of each head the tokens between them to which the newest
// block's queries attend most (kv/policy/slot_choice.h).
#include <functional>

#include "kv/kv_sequence.h"
#include "kv/policy/policies.h"
#include "kv/policy/slot_choice.h"

namespace plimsoll::kv::policy {
namespace {

class Snap final : public Policy {
 public:
  Snap(const Eviction& eviction, SlotScorer& scorer)
      : scorer_(scorer), gatherer_(eviction.budget()) {}

  void Choose(const KvSequence& sequence, uint32_t n_gone, Choice& choice) override {
    SlotGatherer::Choose(sequence.blocks().size(), n_gone, choice);
  }
  void Rewrite(KvSequence& sequence, const Choice& choice) override {
    const auto gather = [&](size_t layer_idx, std::span<const float> scores) {
      gatherer_.Gather(sequence, layer_idx, scores, choice.rewritten.size());
    };
    scorer_.Score(sequence, std::cref(gather));  // of which a copy would be allocated
  }
  [[nodiscard]] Range MayRewrite(size_t n_blocks, uint32_t n_gone) const override {
    return {.first = 1, .end = n_blocks - 1 - n_gone};
  }

 private:
  SlotScorer& scorer_;
  SlotGatherer gatherer_;
};

std::unique_ptr<Policy> MakeSnap(const Eviction& eviction, const BlockLayout& /*layout*/,
                                 SlotScorer* scorer) {
  return std::make_unique<Snap>(eviction, *scorer);
}

}  // namespace

constexpr PolicyType kSnapType = {
    .name = "snap", .is_scored = true, .gathers_slots = true, .plan = PlanBlocks, .make = MakeSnap};

}  // namespace plimsoll::kv::policy
