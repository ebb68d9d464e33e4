// The keys and values of a layer on their way into the cache.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "model/step.h"

namespace plimsoll::model {

// Of a layer in 16 bits they go straight to their slots. Of one that is quantized, to one of two
// places in F16: of the block that a pass leaves in part to the sequence's open blocks, of blocks
// that a pass fills from their first slot on to scratch memory that every layer uses anew. A block
// that is full is quantized from there; tokens see their own block in F16 and those before it
// quantized, however the tokens are cut into passes. Of a sequence that has originals
// (kv/originals.h) they go to the places of these, and nothing is quantized here.
class LayerKv {
 public:
  LayerKv(const Step& step, uint32_t layer_idx);

  // Of one token: [n_kv_heads][head_dim_k] and [n_kv_heads][head_dim_v]; no values where they are
  // in the keys.
  void Store(size_t token, const float* keys, const float* values) const;
  // After all tokens are stored: quantizes the blocks that are full now.
  void QuantizeFullBlocks() const;

  [[nodiscard]] bool is_quantized() const { return is_quantized_; }
  // The block that a token is in, of a quantized layer: its keys and values in F16.
  struct OpenBlock {
    uint32_t idx = 0;
    const std::byte* keys = nullptr;
    const std::byte* values = nullptr;
    size_t value_stride = 0;

    // While this lives.
    [[nodiscard]] kernels::F16Blocks AsBlocks() const {
      return {.first = idx,
              .n = keys == nullptr ? 0U : 1U,
              .keys = &keys,
              .values = &values,
              .value_stride = value_stride};
    }
  };
  // Of a layer in 16 bits none.
  [[nodiscard]] OpenBlock OpenBlockOf(size_t token, uint32_t kv_head) const;
  // Whether tokens of one sequence see the same blocks in F16.
  [[nodiscard]] bool SeeTheSame(const ChunkToken& a, const ChunkToken& b) const;

 private:
  // A head's F16 rows of the block that a token is in.
  [[nodiscard]] uint16_t* OpenKeys(size_t token, uint32_t kv_head) const;
  [[nodiscard]] uint16_t* OpenValues(size_t token, uint32_t kv_head) const;
  [[nodiscard]] bool IsInOpenBlock(const ChunkToken& token) const;
  void StoreRow(const float* x, uint32_t dim, std::byte* out) const;

  const Step& step_;
  uint32_t layer_idx_;
  const kv::BlockLayout& layout_;
  const kv::BlockLayout::Layer& layer_;
  bool is_quantized_;
};

// The blocks that a layer of the sequence has in F16, while it does not change; none where all or
// nothing is quantized.
[[nodiscard]] kernels::F16Blocks OriginalBlocksOf(const kv::KvSequence& sequence,
                                                  uint32_t layer_idx, uint32_t kv_head);

}  // namespace plimsoll::model
