#include "kv/policy/slot_choice.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/invariant.h"
#include "kv/kv_sequence.h"

namespace plimsoll::kv::policy {
namespace {

// A head's keys or values: where they begin in a block, and bytes from one slot's to the next's.
struct Rows {
  uint64_t offset = 0;
  uint64_t stride = 0;
};

// A chosen slot never lies before the one that it moves to: slots ascend.
void MoveRows(const KvSequence& sequence, const Rows& rows, std::span<const uint32_t> chosen) {
  const auto at = [&](uint32_t slot) {
    return sequence.MutableBlock(slot) + rows.offset + slot % kBlockTokens * rows.stride;
  };
  for (uint32_t i = 0; i < chosen.size(); ++i) {
    if (const uint32_t to = kBlockTokens + i; chosen[i] != to) {
      std::memcpy(at(to), at(chosen[i]), rows.stride);
    }
  }
}

}  // namespace

SlotGatherer::SlotGatherer(size_t n_blocks) : order_((n_blocks - 2) * kBlockTokens) {
  Invariant(n_blocks > 2, "a block stands between the first and the newest");
}

void SlotGatherer::Choose(size_t n_blocks, uint32_t n_gone, Choice& choice) {
  const auto n_kept = static_cast<uint32_t>(n_blocks) - 2 - n_gone;
  for (uint32_t i = 1; i <= n_kept; ++i) {
    choice.rewritten.push_back(i);
  }
  for (uint32_t i = 0; i < n_gone; ++i) {
    choice.gone.push_back(n_kept + 1 + i);
  }
}

void SlotGatherer::Gather(const KvSequence& sequence, size_t layer_idx,
                          std::span<const float> scores, size_t n_kept) {
  const BlockLayout& layout = sequence.layout();
  const BlockLayout::Layer& layer = layout.layer(layer_idx);
  const size_t n_slots = sequence.blocks().size() * kBlockTokens;
  for (uint32_t head = 0; head < layer.n_kv_heads; ++head) {
    const auto of_head = scores.subspan(head * n_slots, n_slots);
    // A model's NaN orders nothing.
    const auto worth = [&](uint32_t slot) { return of_head[slot] >= 0 ? of_head[slot] : 0; };
    std::iota(order_.begin(), order_.end(), kBlockTokens);
    const auto end = order_.begin() + static_cast<ptrdiff_t>(n_kept * kBlockTokens);
    std::nth_element(order_.begin(), end, order_.end(), [&](uint32_t a, uint32_t b) {
      return worth(a) != worth(b) ? worth(a) > worth(b) : a > b;
    });
    std::sort(order_.begin(), end);
    const std::span<const uint32_t> chosen = {order_.data(), n_kept * kBlockTokens};
    MoveRows(sequence, {layout.k_offset(layer_idx, head), layout.k_stride(layer_idx)}, chosen);
    if (!layer.values_in_keys) {
      MoveRows(sequence, {layout.v_offset(layer_idx, head), layout.v_stride(layer_idx)}, chosen);
    }
  }
}

}  // namespace plimsoll::kv::policy
