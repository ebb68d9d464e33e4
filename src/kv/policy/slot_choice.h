// Which slots of a full sequence stay, for each head by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/policy/policy.h"

namespace plimsoll::kv::policy {

// Single tokens, each KV head's own, after Li et al., "SnapKV", 2024 (arXiv:2404.14469): those with
// the highest scores, in the order of the text. The first block and the newest one stay as they
// are, what is chosen of the blocks between them is gathered behind the first.
class SlotGatherer {
 public:
  // For sequences of so many blocks, at least three.
  explicit SlotGatherer(size_t n_blocks);

  // Of n_blocks blocks n_gone are to go: behind those that the slots that stay are gathered in.
  static void Choose(size_t n_blocks, uint32_t n_gone, Choice& choice);
  // Of one layer, which is in 16 bits: blocks 1 to n_kept have the chosen slots then, what is in
  // those behind them up to the newest is of no use any more. `scores`: [n_kv_heads][slots].
  void Gather(const KvSequence& sequence, size_t layer_idx, std::span<const float> scores,
              size_t n_kept);

 private:
  std::vector<uint32_t> order_;  // a slot each of those that may go
};

}  // namespace plimsoll::kv::policy
