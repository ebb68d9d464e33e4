// Which blocks of a sequence a quantized layer keeps in 16 bits, and where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/block_pool.h"

namespace plimsoll::kv {

// A block is an original in a layer, or quantized there. Of an original, the layer's part of the
// block has as many of the heads' F16 rows as fit; the others are in a place of their own
// (BlockLayout::original_k). Places are all alike and lie in blocks of the pool that belong to the
// sequence.
class Originals {
 public:
  static constexpr uint32_t kNone = ~0U;

  // Of a sequence of at most n_blocks blocks, of which each quantized layer keeps n on average.
  Originals(const BlockLayout& layout, uint32_t n, uint32_t n_blocks);

  // Blocks of the pool that the places take.
  [[nodiscard]] uint32_t n_memory_blocks() const { return n_memory_blocks_; }
  // Where these are from now on, in order. What is in them is the caller's to bring along.
  void SetMemory(std::span<std::byte* const> blocks);

  [[nodiscard]] bool Has(size_t layer_idx, uint32_t block) const {
    return places_[At(layer_idx, block)] != kNone;
  }
  // A block that was none yet becomes an original in all quantized layers. There are free places.
  void Add(uint32_t block);
  void Remove(size_t layer_idx, uint32_t block);
  void RemoveBlock(uint32_t block);
  // A block is block `to` now, which is an original in no layer.
  void MoveBlock(uint32_t from, uint32_t to);
  // A block's data is here now.
  void Point(uint32_t block, std::byte* data);

  // The place of each layer's blocks, [layer][n_blocks]; all that is to be known beside the memory.
  [[nodiscard]] std::span<const uint32_t> places() const { return places_; }
  // As it was when places() gave this. Every block is to be pointed anew.
  void Restore(std::span<const uint32_t> places);

  // For kernels, by block; null: it is quantized. The block's own data, and its place.
  [[nodiscard]] std::byte* const* in_blocks(size_t layer_idx) const {
    return in_blocks_.data() + At(layer_idx, 0);
  }
  [[nodiscard]] std::byte* const* beside(size_t layer_idx) const {
    return beside_.data() + At(layer_idx, 0);
  }

 private:
  [[nodiscard]] size_t At(size_t layer_idx, uint32_t block) const {
    return layer_idx * n_blocks_ + block;
  }
  [[nodiscard]] std::byte* DataOf(uint32_t place) const;

  const BlockLayout& layout_;
  uint32_t n_blocks_;
  uint32_t n_places_;
  uint32_t n_memory_blocks_;
  std::vector<uint32_t> places_;
  std::vector<uint32_t> free_;
  std::vector<std::byte*> memory_;
  std::vector<std::byte*> in_blocks_;
  std::vector<std::byte*> beside_;
};

}  // namespace plimsoll::kv
