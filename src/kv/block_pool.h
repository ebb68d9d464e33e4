// Storage for keys and values in fixed blocks of kBlockTokens positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "memory/buffer.h"
#include "tensor/kv_panel.h"

namespace plimsoll::kv {

inline constexpr uint32_t kBlockTokens = tensor::kKvPanelTokens;

// Where the keys and values of each layer lie inside a block. One block holds its positions for all
// layers, so that it is one unit to share, move or write to a disk.
//
// A layer that is quantized has its part of a block only once all of the block's tokens are
// computed. Until then these keys and values are in 16 bits in the sequence's open blocks: as many
// blocks of the pool as hold those of all such layers for kBlockTokens tokens.
class BlockLayout {
 public:
  // Two kinds: what is remembered, and the inputs of the last few tokens.
  struct StatePieces {
    uint32_t n_memories = 0;
    uint64_t memory_bytes = 0;  // of each
    uint32_t n_inputs = 0;
    uint64_t input_bytes = 0;
  };
  struct Layer {
    uint32_t n_kv_heads = 0;
    uint32_t head_dim_k = 0;
    uint32_t head_dim_v = 0;
    // A slot's value is the first head_dim_v elements of its key, and is not stored twice.
    bool values_in_keys = false;
    tensor::KvType type = tensor::KvType::kF16;
    bool rotated = false;  // keys are turned, and queries must be (Precision::rotate)
    uint32_t n_heads = 0;  // of queries, whose keys these are
    // A recurrent layer has no keys and values. It keeps a state of a sequence, as large however
    // long that is, in pieces.
    StatePieces state = {};
  };
  // A place in the open blocks of a sequence, in its query blocks or in those of its state.
  struct Place {
    uint32_t block = 0;
    uint64_t offset = 0;
  };

  explicit BlockLayout(std::vector<Layer> layers);

  [[nodiscard]] uint64_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] size_t n_layers() const { return layers_.size(); }
  [[nodiscard]] const Layer& layer(size_t layer_idx) const { return layers_[layer_idx]; }
  [[nodiscard]] bool is_quantized(size_t layer_idx) const {
    return IsQuantized(layers_[layer_idx].type);
  }

  // A head's keys or values in a block. There are none of values that are in the keys.
  [[nodiscard]] tensor::KvPanel k_panel(size_t layer_idx) const;
  [[nodiscard]] tensor::KvPanel v_panel(size_t layer_idx) const;
  // Bytes from a block's start to a head's panel, and in 16 bits from one slot's key to the next
  // one's; values alike.
  [[nodiscard]] uint64_t k_offset(size_t layer_idx, uint32_t kv_head) const;
  [[nodiscard]] uint64_t v_offset(size_t layer_idx, uint32_t kv_head) const;
  [[nodiscard]] uint64_t k_stride(size_t layer_idx) const;
  [[nodiscard]] uint64_t v_stride(size_t layer_idx) const;

  // Open blocks that a sequence has; 0 where no layer is quantized. A head's keys there are
  // kBlockTokens rows of F16.
  [[nodiscard]] uint32_t n_open_blocks() const { return n_open_blocks_; }
  [[nodiscard]] Place open_k(size_t layer_idx, uint32_t kv_head) const;
  [[nodiscard]] Place open_v(size_t layer_idx, uint32_t kv_head) const;
  // Query blocks that a sequence has whose policy looks at attention: they hold the queries of one
  // block's tokens, of each layer and head kBlockTokens rows of F16.
  [[nodiscard]] uint32_t n_query_blocks() const { return n_query_blocks_; }
  [[nodiscard]] Place queries(size_t layer_idx, uint32_t head) const {
    return query_places_[first_query_[layer_idx] + head];
  }
  // Where the 32 rows of F16 of a head's keys or values are that a quantized layer keeps whole
  // (kv/originals.h): so far into the block, in the part that would have the layer's codes, or so
  // far into a place of original_bytes() beside it. Keys of all heads come before their values, and
  // what is in the block comes first; a row there never lies before its codes.
  struct OriginalPlace {
    bool in_block = false;
    uint64_t offset = 0;
  };
  [[nodiscard]] OriginalPlace original_k(size_t layer_idx, uint32_t kv_head) const {
    return original_places_[first_original_[layer_idx] + kv_head];
  }
  [[nodiscard]] OriginalPlace original_v(size_t layer_idx, uint32_t kv_head) const {
    const Layer& some = layers_[layer_idx];
    return original_k(layer_idx, kv_head + (some.values_in_keys ? 0 : some.n_kv_heads));
  }
  [[nodiscard]] uint64_t original_bytes() const { return original_bytes_; }
  // Such places in a block; 0: one is larger than a block.
  [[nodiscard]] uint32_t originals_per_block() const {
    return original_bytes_ == 0 ? 0 : static_cast<uint32_t>(block_bytes_ / original_bytes_);
  }
  [[nodiscard]] uint32_t n_quantized_layers() const { return n_quantized_layers_; }
  // Blocks with places for n of the blocks of each quantized layer. There is one in a block.
  [[nodiscard]] uint64_t BlocksForOriginals(uint64_t n) const {
    return (n * n_quantized_layers_ + originals_per_block() - 1) / originals_per_block();
  }
  // Blocks that hold a state of all recurrent layers (kv/recurrent_states.h); 0: there are none.
  [[nodiscard]] uint32_t n_state_blocks() const { return n_state_blocks_; }
  [[nodiscard]] bool is_recurrent() const { return n_state_blocks_ > 0; }
  [[nodiscard]] Place state_memory(size_t layer_idx, uint32_t i) const {
    return state_places_[first_state_[layer_idx] + i];
  }
  [[nodiscard]] Place state_input(size_t layer_idx, uint32_t i) const {
    return state_memory(layer_idx, layers_[layer_idx].state.n_memories + i);
  }
  // What block_bytes() would be with 16 bits in every layer.
  [[nodiscard]] uint64_t whole_block_bytes() const { return whole_block_bytes_; }
  // Blocks that a sequence of so many tokens has, open ones included.
  [[nodiscard]] uint64_t BlocksOfSequence(uint64_t n_tokens) const {
    return (n_tokens + kBlockTokens - 1) / kBlockTokens + (n_tokens > 0 ? n_open_blocks_ : 0);
  }

 private:
  void PlaceStates();
  void PlaceOpenBlocks();
  void PlaceQueryBlocks();
  void PlaceOriginals();
  // One behind another, each whole in one block; how many blocks that takes.
  uint32_t PlaceInBlocks(std::span<const uint64_t> sizes, std::vector<Place>& places);

  std::vector<Layer> layers_;
  std::vector<uint64_t> layer_offsets_;
  uint64_t block_bytes_ = 0;
  std::vector<size_t> first_open_;  // by layer, into open_places_
  std::vector<Place> open_places_;  // of each head the keys, then the values that it has
  uint32_t n_open_blocks_ = 0;
  std::vector<size_t> first_query_;  // by layer, into query_places_
  std::vector<Place> query_places_;
  uint32_t n_query_blocks_ = 0;
  std::vector<size_t> first_state_;  // by layer, into state_places_
  std::vector<Place> state_places_;
  uint32_t n_state_blocks_ = 0;
  std::vector<size_t> first_original_;  // by layer, into original_places_
  std::vector<OriginalPlace> original_places_;
  uint64_t original_bytes_ = 0;
  uint32_t n_quantized_layers_ = 0;
  uint64_t whole_block_bytes_ = 0;
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
