// Storage for keys and values in fixed blocks of kBlockTokens positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "memory/buffer.h"

namespace plimsoll::kv {

inline constexpr uint32_t kBlockTokens = 32;

// Where the keys and values of each layer lie inside a block. One block holds its positions for all
// layers, so that it is one unit to share, move or write to a disk.
class BlockLayout {
 public:
  struct Layer {
    uint32_t n_kv_heads = 0;
    uint32_t head_dim_k = 0;
    uint32_t head_dim_v = 0;
    // A slot's value is the first head_dim_v elements of its key, and is not stored twice.
    bool values_in_keys = false;
  };

  explicit BlockLayout(std::vector<Layer> layers);

  [[nodiscard]] uint64_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] size_t n_layers() const { return layers_.size(); }
  [[nodiscard]] const Layer& layer(size_t layer_idx) const { return layers_[layer_idx]; }

  // Bytes from a block's start to the F16 key of its first slot of a head, and from one slot's key
  // to the next one's; values alike.
  [[nodiscard]] uint64_t k_offset(size_t layer_idx, uint32_t kv_head) const;
  [[nodiscard]] uint64_t v_offset(size_t layer_idx, uint32_t kv_head) const;
  [[nodiscard]] uint64_t k_stride(size_t layer_idx) const;
  [[nodiscard]] uint64_t v_stride(size_t layer_idx) const;

 private:
  std::vector<Layer> layers_;
  std::vector<uint64_t> layer_offsets_;
  uint64_t block_bytes_ = 0;
};

// Reference-counted blocks. Beside the sequences that refer to a block a cache may keep it: then it
// is not free when the last of them goes, and its bytes are shown under Account::kPrefix while
// there is none. Not thread-safe: the engine's step owns it.
class BlockPool {
 public:
  BlockPool(memory::Ledger& ledger, BlockLayout layout)
      : ledger_(ledger), layout_(std::move(layout)) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  [[nodiscard]] const BlockLayout& layout() const { return layout_; }
  [[nodiscard]] static uint64_t BlocksFor(uint64_t n_tokens) {
    return (n_tokens + kBlockTokens - 1) / kBlockTokens;
  }

  // Makes sure that `n` more blocks than are promised now can be allocated, charging the ledger for
  // what the pool has to grow; Unpromise gives the promise back. Memory stays in the pool.
  [[nodiscard]] Result<> Promise(uint64_t n);
  void Unpromise(uint64_t n);

  // A block with one reference; its content is unspecified. Empty when the pool is used up.
  [[nodiscard]] std::optional<BlockId> Allocate();
  void AddReference(BlockId block);
  void DropReference(BlockId block);
  // Whether the only one that refers to it may write its slots from this one on: nobody else uses
  // them.
  [[nodiscard]] bool IsWritableFrom(BlockId block, uint32_t slot) const {
    return references_[block.value] == 1 && n_kept_slots_[block.value] <= slot;
  }

  // Keeps a block in use, the first n_slots of it: more than are kept now.
  void Keep(BlockId block, uint32_t n_slots);
  void Unkeep(BlockId block);
  // Blocks that are kept and that nobody refers to.
  [[nodiscard]] size_t n_idle() const { return n_idle_; }
  [[nodiscard]] uint32_t n_references(BlockId block) const { return references_[block.value]; }

  [[nodiscard]] std::byte* Data(BlockId block) const { return blocks_[block.value]; }
  [[nodiscard]] size_t n_blocks() const { return blocks_.size(); }
  [[nodiscard]] size_t n_free() const { return free_.size(); }

 private:
  void AddIdle();
  void RemoveIdle();

  memory::Ledger& ledger_;
  BlockLayout layout_;
  std::vector<memory::Buffer> slabs_;
  std::vector<std::byte*> blocks_;     // by id
  std::vector<uint32_t> references_;   // by id; 0 and not kept: free
  std::vector<uint8_t> n_kept_slots_;  // by id; 0: not kept
  size_t n_idle_ = 0;
  std::vector<BlockId> free_;
  uint64_t n_promised_ = 0;
};

}  // namespace plimsoll::kv
