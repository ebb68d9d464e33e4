// How much the newest tokens of a sequence attend to each of those before them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/kv_sequence.h"
#include "kv/policy/slot_scorer.h"
#include "memory/buffer.h"
#include "model/hyper_params.h"
#include "model/query_moments.h"
#include "model/weights.h"

namespace plimsoll::model {

struct ScorerRoom {
  uint64_t max_slots = 0;  // of a sequence
  bool merges = false;     // scores of all layers can be kept together
};

// After Li et al., "SnapKV: LLM Knows What You are Looking for Before Generation", 2024
// (arXiv:2404.14469), with the newest block's 32 queries as its observation window: a slot's score
// is the sum of the weights that they give it in attention, its own layer's scale, window and sinks
// included, then the mean over the query heads of a KV head, then the largest of the three slots
// before it, its own and the three behind it, as far as positions follow one another.
//
// ScoreAndWeigh goes by ARKV (2026) instead: a query head's score of a slot is the mean of the
// queries' weights and a multiple of their variance (QueryMoments), then the mean of those of the
// two slots to each side, as far as positions follow one another, and of the heads. The arithmetic
// of both is in docs/numerics.md.
class AttentionScorer final : public kv::policy::SlotScorer {
 public:
  // Of the model; all of it outlives the scorer.
  struct Parts {
    const HyperParams& hp;
    std::span<const LayerWeights> layers;
    const kernels::KernelSet& kernels;
    kernels::Team& team;
    bool quantizes = false;  // some layer's cache is quantized: ScoreAndWeigh can be asked for
  };

  // What it takes of the ledger.
  [[nodiscard]] static uint64_t Bytes(const Parts& parts, const ScorerRoom& room);
  // kDoesNotFit when the line has no room for that.
  [[nodiscard]] static Result<std::unique_ptr<AttentionScorer>> Create(const Parts& parts,
                                                                       const ScorerRoom& room,
                                                                       memory::Ledger& ledger);

  [[nodiscard]] const ScorerRoom& room() const { return room_; }
  void Score(const kv::KvSequence& sequence, const LayerFn& on_layer) override;
  void ScoreAndWeigh(const kv::KvSequence& sequence, const WeighedLayerFn& on_layer) override;
  void Quantize(const kv::KvSequence& sequence,
                std::span<const kv::policy::LayerBlock> originals) override;
  [[nodiscard]] std::span<float> merged_scores() override { return scratch_.merged; }

 private:
  struct ThreadScratch {
    std::span<float> queries;  // [kBlockTokens][head_dim_k] of a head; also a panel's rows
    std::byte* workspace = nullptr;
    // Where caches are quantized: of a query, and of QueryMoments.
    std::span<float> row;    // [n_slots]
    std::span<float> first;  // [n_slots]
    std::span<double> sums;  // [n_slots][QueryMoments::kSums]
  };
  struct Scratch {
    std::span<float> weights;            // [n_heads][n_slots]
    std::span<float> scores;             // [n_kv_heads][n_slots]
    std::span<float> merged;             // [n_layers][n_kv_heads][n_slots]
    std::span<AttentionSpread> spreads;  // [n_heads]
    std::span<ThreadScratch> threads;
  };
  // A query head of a layer, and what attention is called with for its queries.
  struct Head {
    uint32_t layer_idx = 0;
    uint32_t head = 0;
    std::array<kernels::VisibleSlots, kv::kBlockTokens> visible = {};
    kernels::AttentionArgs args = {};  // of the first query
  };

  AttentionScorer(const Parts& parts, memory::Buffer memory, const ScorerRoom& room);

  [[nodiscard]] static Scratch Lay(const Parts& parts, const ScorerRoom& room,
                                   memory::Carver& carver);
  void Begin(const kv::KvSequence& sequence, const ThreadScratch& own, Head& head) const;
  // A query head's weights of all slots, summed over the queries.
  void WeighHead(const kv::KvSequence& sequence, uint32_t layer_idx, uint32_t head,
                 size_t thread) const;
  // Its scores by ARKV, and its spread.
  void SpreadHead(const kv::KvSequence& sequence, uint32_t layer_idx, uint32_t head,
                  size_t thread) const;
  // The mean of its query heads' weights or scores.
  [[nodiscard]] std::span<const float> MeanOfHeads(const kv::KvSequence& sequence,
                                                   uint32_t layer_idx, uint32_t kv_head) const;

  Parts parts_;
  ScorerRoom room_;
  memory::Buffer memory_;
  Scratch scratch_;
};

}  // namespace plimsoll::model
