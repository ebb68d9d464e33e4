// What attention says of the slots of a sequence.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "kv/policy/original_choice.h"

namespace plimsoll::kv {
class KvSequence;
}  // namespace plimsoll::kv

namespace plimsoll::kv::policy {

// The model's side of policies that look at attention: only it has the arithmetic.
class SlotScorer {
 public:
  // Of a layer: [n_kv_heads][n_slots], not negative, valid during the call.
  using LayerFn = std::function<void(size_t layer_idx, std::span<const float> scores)>;

  virtual ~SlotScorer() = default;

  // How much the queries of the newest block attend to each slot of a sequence that is full (its
  // blocks are those of its budget, every slot is computed), layer by layer.
  virtual void Score(const KvSequence& sequence, const LayerFn& on_layer) = 0;

  // The same, with what the layer weighs among all.
  using WeighedLayerFn =
      std::function<void(size_t layer_idx, std::span<const float> scores, float weight)>;
  // ARKV's scores of a sequence whose every slot is computed, and what its layers should have of
  // the originals.
  virtual void ScoreAndWeigh(const KvSequence& sequence, const WeighedLayerFn& on_layer) = 0;
  // Quantizes originals where they are: nobody else uses these blocks.
  virtual void Quantize(const KvSequence& sequence, std::span<const LayerBlock> originals) = 0;

  // Room for scores that were merged of several calls: [n_layers][n_kv_heads][n_slots]. It has what
  // was left in it; empty where it was not reserved.
  [[nodiscard]] virtual std::span<float> merged_scores() { return {}; }
};

}  // namespace plimsoll::kv::policy
