// What attention says of the slots of a sequence.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

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
};

}  // namespace plimsoll::kv::policy
