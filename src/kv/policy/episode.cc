// As snap, but by the queries of a patch prompt, which is computed behind the newest block, a block
// of it at a time, whenever something is to go (kv/policy/episodes.h); where there is none, by
// those of the newest block.
#include <algorithm>
#include <functional>
#include <utility>

#include "kv/kv_sequence.h"
#include "kv/policy/policies.h"
#include "kv/policy/slot_choice.h"

namespace plimsoll::kv::policy {
namespace {

class Episode final : public Policy {
 public:
  Episode(const Eviction& eviction, SlotScorer& scorer)
      : scorer_(scorer), gatherer_(eviction.budget()) {}

  void Choose(const KvSequence& sequence, uint32_t n_gone, Choice& choice) override {
    SlotGatherer::Choose(sequence.blocks().size(), n_gone, choice);
  }
  void Rewrite(KvSequence& sequence, const Choice& choice) override {
    const auto gather = [&](size_t layer_idx, std::span<const float> scores) {
      gatherer_.Gather(sequence, layer_idx, scores, choice.rewritten.size());
    };
    if (!std::exchange(is_looked_at_, false)) {
      scorer_.Score(sequence, std::cref(gather));  // of which a copy would be allocated
      return;
    }
    std::span<const float> merged = scorer_.merged_scores();
    for (size_t i = 0; i < sequence.layout().n_layers(); ++i) {
      const size_t n = sequence.layout().layer(i).n_kv_heads * sequence.positions().size();
      gather(i, merged.first(n));
      merged = merged.subspan(n);
    }
  }
  [[nodiscard]] Range MayRewrite(size_t n_blocks, uint32_t n_gone) const override {
    return {.first = 1, .end = n_blocks - 1 - n_gone};
  }

  [[nodiscard]] bool WantsLook() const override { return !is_looked_at_; }
  // For each slot the most that a block that looked gave it.
  void Look(const KvSequence& sequence) override {
    const std::span<float> merged = scorer_.merged_scores();
    if (!std::exchange(is_looked_at_, true)) {
      std::ranges::fill(merged, 0.0F);
    }
    const size_t n_all = sequence.positions().size();
    const size_t n_slots = n_all - kBlockTokens;
    size_t at = 0;
    scorer_.Score(sequence, [&](size_t /*layer*/, std::span<const float> scores) {
      for (; !scores.empty(); scores = scores.subspan(n_all), at += n_slots) {
        // A model's NaN is above nothing.
        const auto of_head = merged.subspan(at, n_slots);
        std::ranges::transform(of_head, scores.first(n_slots), of_head.begin(),
                               [](float a, float b) { return std::max(a, b); });
      }
    });
  }
  void ForgetLooks() override { is_looked_at_ = false; }

 private:
  SlotScorer& scorer_;
  SlotGatherer gatherer_;
  bool is_looked_at_ = false;  // what was seen is in the scorer's merged scores
};

std::unique_ptr<Policy> MakeEpisode(const Eviction& eviction, const BlockLayout& /*layout*/,
                                    SlotScorer* scorer) {
  return std::make_unique<Episode>(eviction, *scorer);
}

}  // namespace

constexpr PolicyType kEpisodeType = {.name = "episode",
                                     .is_scored = true,
                                     .gathers_slots = true,
                                     .has_patch = true,
                                     .plan = PlanBlocks,
                                     .make = MakeEpisode};

}  // namespace plimsoll::kv::policy
