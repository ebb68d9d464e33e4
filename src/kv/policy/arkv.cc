// As block, but some of the blocks that stay are quantized: in each layer those that get least
// attention (kv/policy/original_choice.h).
#include <algorithm>

#include "kv/kv_sequence.h"
#include "kv/policy/block_choice.h"
#include "kv/policy/original_choice.h"
#include "kv/policy/policies.h"

namespace plimsoll::kv::policy {
namespace {

class Arkv final : public Policy {
 public:
  Arkv(const Eviction& eviction, const BlockLayout& layout, SlotScorer& scorer)
      : scorer_(scorer),
        n_kept_(size_t{layout.n_quantized_layers()} * (eviction.n_kept_originals() - 1)),
        scores_(eviction.budget()),
        originals_(layout.n_layers(), eviction.budget(), eviction.n_originals()) {}

  void Choose(const KvSequence& sequence, uint32_t n_gone, Choice& choice) override {
    const size_t n_blocks = sequence.blocks().size();
    scores_.Clear(n_blocks);
    originals_.Clear();
    scorer_.ScoreAndWeigh(sequence,
                          [this](size_t layer, std::span<const float> scores, float weight) {
                            scores_.AddLayer(scores);
                            originals_.AddLayer(layer, scores_.layer(), weight);
                          });
    const auto lowest = scores_.Lowest(n_gone);
    choice.gone.assign(lowest.begin(), lowest.end());
    quantized_ = originals_.ToQuantize(*sequence.originals(), n_blocks, lowest, n_kept_);
    for (const LayerBlock& one : quantized_) {
      if (std::ranges::find(choice.rewritten, one.block) == choice.rewritten.end()) {
        choice.rewritten.push_back(one.block);
      }
    }
  }
  void Rewrite(KvSequence& sequence, const Choice& /*choice*/) override {
    scorer_.Quantize(sequence, quantized_);
    for (const LayerBlock& one : quantized_) {
      sequence.RemoveOriginal(one.layer_idx, one.block);
    }
  }
  // Any but the first.
  [[nodiscard]] Range MayRewrite(size_t n_blocks, uint32_t /*n_gone*/) const override {
    return {.first = 1, .end = n_blocks};
  }

 private:
  SlotScorer& scorer_;
  size_t n_kept_;  // originals, over all layers, beside the first block
  BlockScores scores_;
  OriginalChoice originals_;
  std::span<const LayerBlock> quantized_;  // of the last choice
};

// One block in four is an original, and where the whole context has room as many more as fit. A
// share is one of the context in 16 bits, which a sequence has that quantizes nothing.
PolicyResult<Eviction> PlanArkv(const PolicyOptions& options, const BlockLayout& layout,
                                uint32_t n_ctx) {
  constexpr uint32_t kOneIn = 4;
  if (layout.n_quantized_layers() == 0) {
    return Refuse("policy",
                  "can't be arkv where keys and values are in 16 bits throughout: what it does not "
                  "keep so gets the type of --kv-type, which has to be q8 or q4");
  }
  if (layout.originals_per_block() == 0) {
    return Refuse("policy",
                  "can't be arkv: this model has too few layers for a block to have room for one "
                  "of them in 16 bits. Take block");
  }
  const uint64_t n_whole = BlockPool::BlocksFor(n_ctx);
  const auto originals_of = [](uint64_t n_slot_blocks) {
    return std::max<uint64_t>(Eviction::kLeastOriginals, n_slot_blocks / kOneIn);
  };
  const auto with = [&](uint64_t n_slot_blocks, uint64_t n_originals) {
    return n_slot_blocks + layout.BlocksForOriginals(n_originals) + layout.n_query_blocks();
  };
  const uint64_t whole = n_whole * layout.whole_block_bytes();
  const uint64_t n_may = options.budget->Resolve(whole) / layout.block_bytes();
  uint64_t n_blocks = Eviction::kLeastOriginals + 1;
  if (n_may < with(n_blocks, originals_of(n_blocks))) {
    return RefuseLow(with(n_blocks, originals_of(n_blocks)) * layout.block_bytes(), whole, n_ctx);
  }
  while (n_blocks < n_whole && with(n_blocks + 1, originals_of(n_blocks + 1)) <= n_may) {
    ++n_blocks;
  }
  uint64_t n_originals = originals_of(n_blocks);
  while (n_originals < n_blocks && with(n_blocks, n_originals + 1) <= n_may) {
    ++n_originals;
  }
  return Eviction(PolicyKind::kArkv, static_cast<uint32_t>(n_blocks),
                  {.n_originals = static_cast<uint32_t>(n_originals)});
}

std::unique_ptr<Policy> MakeArkv(const Eviction& eviction, const BlockLayout& layout,
                                 SlotScorer* scorer) {
  return std::make_unique<Arkv>(eviction, layout, *scorer);
}

}  // namespace

constexpr PolicyType kArkvType = {
    .name = "arkv", .is_scored = true, .plan = PlanArkv, .make = MakeArkv};

}  // namespace plimsoll::kv::policy
