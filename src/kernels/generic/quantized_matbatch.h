// Matrix products with one quantized type for the tokens of a batch: as in decode (MatVec), a block
// of a row group is unpacked in registers, and then meets all tokens, kBatchTile at a time, whose
// accumulators wait in the first-level cache. Nothing of the weights is written to memory, and
// while one block meets the tokens the next ones arrive.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/quantized_accumulate.h"
#include "kernels/generic/quantized_matvec.h"
#include "kernels/generic/quantized_rows.h"
#include "kernels/generic/quantized_tokens.h"

namespace plimsoll::kernels {
namespace {

// With more the accumulators crowd the first-level cache, and tiles of two groups (MatMat) gain
// more from each activation than unpacking to memory costs.
inline constexpr size_t kBatchTokensMax = 32;
// So many tokens at once keep the multipliers busy; as many sums stay in registers.
inline constexpr size_t kBatchTile = 4;

// The packed rows of a batch, the last one again for those that fill its last tile.
template <class ActivationBlock>
class BatchRows {
 public:
  explicit BatchRows(const Activations& x) : n_tiles_((x.n_rows + kBatchTile - 1) / kBatchTile) {
    for (size_t tile = 0; tile < n_tiles_; ++tile) {
      FindTokens(x, tile * kBatchTile, rows_[tile]);
    }
  }

  [[nodiscard]] size_t n_tiles() const { return n_tiles_; }
  [[gnu::always_inline]] void At(size_t tile, uint64_t b,
                                 const ActivationBlock* (&blocks)[kBatchTile]) const {
    AtBlock(rows_[tile], b, blocks);
  }

 private:
  size_t n_tiles_;
  const ActivationBlock* rows_[kBatchTokensMax / kBatchTile][kBatchTile];
};

// y from the accumulators of all tiles.
template <class V>
[[gnu::always_inline]] inline void StoreBatch(
    const FloatTile<V, 1, kBatchTile> (&acc)[kBatchTokensMax / kBatchTile], const RowGroup& group,
    const Product& product) {
  for (size_t t = 0; t < product.x->n_rows; ++t) {
    V::StoreFloats(product.y + t * product.y_stride, acc[t / kBatchTile][0][t % kBatchTile],
                   group.n_rows);
  }
}

// One row group, all tokens, all of k.
template <class V, class Type, class Blocks>
[[gnu::flatten]] void MatBatch32(Blocks group_blocks, const RowGroup& group, Upcoming next,
                                 const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  Prefetcher prefetcher(next);
  const BatchRows<BlockQ8x32> rows(*product.x);
  FloatTile<V, 1, kBatchTile> acc[kBatchTokensMax / kBatchTile];
  for (size_t tile = 0; tile < rows.n_tiles(); ++tile) {
#pragma GCC unroll 4
    for (size_t t = 0; t < kBatchTile; ++t) {
      acc[tile][0][t] = V::FloatZero();
    }
  }
  for (uint64_t b = 0; b < group.matrix->k / Type::Block::kElements; ++b) {
    prefetcher.Step(V::kLanes * sizeof(typename Type::Block));
    const auto block_rows = group_blocks.At(b);
#pragma GCC unroll 2
    for (size_t part = 0; part < kPartsOf<Type>; ++part) {
      const auto part_rows = PartOf<Type>(block_rows, part);
      Int w[kSlices32];
      Type::Unpack(part_rows, w);
      Float d;
      Float m;
      Type::ReadScales(part_rows, &d, &m);
      for (size_t tile = 0; tile < rows.n_tiles(); ++tile) {
        const BlockQ8x32* blocks[kBatchTile];
        rows.At(tile, b * kPartsOf<Type> + part, blocks);
        Accumulate32<V, Type, 1, kBatchTile>({w}, {d}, {m}, blocks, acc[tile]);
      }
    }
  }
  StoreBatch<V>(acc, group, product);
}

template <class V, class Type, class Blocks>
[[gnu::flatten]] void MatBatch256(Blocks group_blocks, const RowGroup& group, Upcoming next,
                                  const Product& product) {
  using Int = typename V::Int;
  Prefetcher prefetcher(next);
  const BatchRows<BlockQ8x256> rows(*product.x);
  FloatTile<V, 1, kBatchTile> acc[kBatchTokensMax / kBatchTile];
  IntTile<V, 1, kBatchTile> isum[kBatchTokensMax / kBatchTile];
  for (size_t tile = 0; tile < rows.n_tiles(); ++tile) {
#pragma GCC unroll 4
    for (size_t t = 0; t < kBatchTile; ++t) {
      acc[tile][0][t] = V::FloatZero();
    }
  }
  for (uint64_t b = 0; b < group.matrix->k / 256; ++b) {
    prefetcher.Step(V::kLanes * sizeof(typename Type::Block));
    const auto block_rows = group_blocks.At(b);
    SuperHeader<V, Type::kCount> header;
    Type::ReadHeader(block_rows, &header);
    const typename Type::Shared shared(block_rows);
    for (size_t tile = 0; tile < rows.n_tiles(); ++tile) {
#pragma GCC unroll 4
      for (size_t t = 0; t < kBatchTile; ++t) {
        isum[tile][0][t] = V::Zero();
      }
    }
#pragma GCC unroll 4
    for (size_t chunk = 0; chunk < kChunks; ++chunk) {
      Int w[kSlicesPerChunk];
      Type::UnpackChunk(block_rows, shared, chunk, w);
      const auto scale_of = [&](size_t /*group*/, size_t sub) {
        return ScaleOf<V, Type>(header, sub);
      };
      for (size_t tile = 0; tile < rows.n_tiles(); ++tile) {
        const BlockQ8x256* blocks[kBatchTile];
        rows.At(tile, b, blocks);
        AccumulateChunk<V, Type, 1, kBatchTile>({w}, scale_of, chunk, blocks, isum[tile]);
      }
    }
    Int pairs[Type::kCount / 2];
    ExpandPairs<V, Type>(header, pairs);
    for (size_t tile = 0; tile < rows.n_tiles(); ++tile) {
      const BlockQ8x256* blocks[kBatchTile];
      rows.At(tile, b, blocks);
      Finish256<V, Type, 1, kBatchTile>({header.d}, {header.dmin}, {pairs}, blocks, isum[tile],
                                        acc[tile]);
    }
  }
  StoreBatch<V>(acc, group, product);
}

template <class V, class Type>
void MatBatch(const RowGroup& group, Upcoming next, const Product& product) {
  WithBlocksOf<V, Type>(group, [&](const auto& blocks) {
    if constexpr (Type::Block::kElements == 256) {
      MatBatch256<V, Type>(blocks, group, next, product);
    } else {
      MatBatch32<V, Type>(blocks, group, next, product);
    }
  });
}

}  // namespace
}  // namespace plimsoll::kernels
