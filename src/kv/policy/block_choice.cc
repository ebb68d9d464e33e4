#include "kv/policy/block_choice.h"

#include <algorithm>
#include <numeric>

#include "base/invariant.h"
#include "kv/block_pool.h"

namespace plimsoll::kv::policy {

BlockScores::BlockScores(size_t max_blocks) {
  scores_.reserve(max_blocks);
  layer_.reserve(max_blocks);
  order_.reserve(max_blocks);
  Clear(max_blocks);
}

void BlockScores::Clear(size_t n_blocks) {
  Invariant(n_blocks > 2, "a block stands between the first and the newest");
  scores_.assign(n_blocks, 0.0F);
  layer_.assign(n_blocks, 0.0F);
  order_.resize(n_blocks - 2);
}

void BlockScores::AddLayer(std::span<const float> scores) {
  const size_t n_blocks = scores_.size();
  std::ranges::fill(layer_, 0.0F);
  for (size_t first = 0; first < scores.size(); first += n_blocks * kBlockTokens) {
    for (size_t b = 0; b < n_blocks; ++b) {
      const auto slots = scores.subspan(first + b * kBlockTokens, kBlockTokens);
      layer_[b] += std::accumulate(slots.begin(), slots.end(), 0.0F);
    }
  }
  const float total = std::accumulate(layer_.begin() + 1, layer_.end() - 1, 0.0F);
  if (!(total > 0)) {
    return;  // nothing but the first and the newest was looked at
  }
  for (size_t b = 1; b + 1 < n_blocks; ++b) {
    const float share = layer_[b] / total;
    scores_[b] += share >= 0 ? share : 0;  // a model's NaN or infinity orders nothing
  }
}

std::span<const uint32_t> BlockScores::Lowest(size_t n) {
  std::iota(order_.begin(), order_.end(), 1U);
  const auto end = order_.begin() + static_cast<ptrdiff_t>(n);
  std::partial_sort(order_.begin(), end, order_.end(), [this](uint32_t a, uint32_t b) {
    return scores_[a] != scores_[b] ? scores_[a] < scores_[b] : a < b;
  });
  std::sort(order_.begin(), end);
  return {order_.data(), n};
}

}  // namespace plimsoll::kv::policy
