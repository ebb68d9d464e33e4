// Which blocks of a full sequence go, by how much attention they get.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll::kv::policy {

// Whole blocks, for all layers and heads together, after Zuo et al., "WindowKV: Task-Adaptive
// Group-Wise KV Cache Window Selection", 2025 (arXiv:2503.17922): a window of tokens, here a block,
// is worth the mean of what its tokens get. The first block and the newest one always stay.
class BlockScores {
 public:
  // For sequences of at most so many blocks, and of as many until Clear says otherwise.
  explicit BlockScores(size_t max_blocks);

  // Forgets all layers, for a sequence of so many blocks, at least three.
  void Clear(size_t n_blocks);
  // The scores of one layer's slots: [n_kv_heads][n_blocks * kBlockTokens]. Each layer's blocks
  // that may go share one vote among them.
  void AddLayer(std::span<const float> scores);
  // What the blocks of the layer that was added last get.
  [[nodiscard]] std::span<const float> layer() const { return layer_; }
  // The n blocks that get least, ascending; of equal ones the older goes. n is at most all but two.
  // Valid until the next call.
  [[nodiscard]] std::span<const uint32_t> Lowest(size_t n);

 private:
  std::vector<float> scores_;
  std::vector<float> layer_;
  std::vector<uint32_t> order_;
};

}  // namespace plimsoll::kv::policy
