// Matrix products with one quantized type for a few tokens (decode): a block of a row group is
// unpacked in registers and meets all tokens at once. Memory bandwidth is the limit, so what comes
// next is prefetched meanwhile where the processor would not do so by itself (AheadOf).
//
// The functions are flattened: a call that passes vectors through memory costs more than the work
// (decode of Q4_0 took twice the time where the compiler chose not to inline).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/generic/quantized_accumulate.h"
#include "kernels/generic/quantized_rows.h"
#include "kernels/generic/quantized_tokens.h"

namespace plimsoll::kernels {
namespace {

// Adds the products of one block of each row with the token's, as exact integers: a lane holds its
// row's.
//
// A row's weights stay together, sixteen bytes behind one another, and meet the same sixteen
// activations; the four sums that a row gets are added across at the end. Transposing the weights
// instead, as the forms for several tokens do, costs more shuffles and a broadcast per four
// activations, which made up half of the time of a product with one token.
template <class V, class Type>
[[gnu::always_inline]] inline typename V::Int DotPieces(
    const typename V::Int (&pieces)[2][kRowPieces], const int8_t* q) {
  using Int = typename V::Int;
  const Int activations[2] = {V::Repeat16(q), V::Repeat16(q + 16)};
  Int sums[kRowPieces];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRowPieces; ++i) {
    if constexpr (Type::kSigned) {
      sums[i] = V::Flush(V::Zero(), V::SignedProduct(pieces[0][i], activations[0]));
      sums[i] = V::Flush(sums[i], V::SignedProduct(pieces[1][i], activations[1]));
    } else {
      static_assert(V::ChainLength(Type::kMaxWeight) >= 2);
      const Int first = V::Chain(V::Zero(), pieces[0][i], activations[0]);
      sums[i] = V::Flush(V::Zero(), V::Chain(first, pieces[1][i], activations[1]));
    }
  }
  return V::SumOfRows(sums);
}

// One row group whose rows are apart, one token, all of k.
template <class V, class Type, class Blocks>
[[gnu::flatten]] void MatVec32Pieces(Blocks blocks, const RowGroup& group, Upcoming next,
                                     const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  Prefetcher prefetcher(next);
  const BlockQ8x32* row[1];
  FindTokens(*product.x, 0, row);
  FloatTile<V, 1, 1> acc = {{V::FloatZero()}};
  for (uint64_t b = 0; b < group.matrix->k / 32; ++b) {
    prefetcher.Step(V::kLanes * sizeof(typename Type::Block));
    const auto rows = blocks.At(b);
    Int pieces[2][kRowPieces];
    Type::UnpackPieces(rows, pieces);
    Float d;
    Float m;
    Type::ReadScales(rows, &d, &m);
    const Int start = SumStart<V, Type>(row[0][b]);
    const Int isum[1][1] = {{V::Add(start, DotPieces<V, Type>(pieces, row[0][b].q))}};
    Finish32<V, Type, 1, 1>({d}, {m}, {row[0] + b}, isum, acc);
  }
  V::StoreFloats(product.y, acc[0][0], group.n_rows);
}

// One row group, kTokens tokens, all of k.
template <class V, class Type, size_t kTokens, class Blocks>
[[gnu::flatten]] void MatVec32(Blocks group_blocks, const RowGroup& group, Upcoming next,
                               const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  Prefetcher prefetcher(next);
  const BlockQ8x32* rows[kTokens];
  FindTokens(*product.x, 0, rows);
  FloatTile<V, 1, kTokens> acc;
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    acc[0][t] = V::FloatZero();
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
      const BlockQ8x32* blocks[kTokens];
      AtBlock(rows, b * kPartsOf<Type> + part, blocks);
      Accumulate32<V, Type, 1, kTokens>({w}, {d}, {m}, blocks, acc);
    }
  }
  for (size_t t = 0; t < kTokens && t < product.x->n_rows; ++t) {
    V::StoreFloats(product.y + t * product.y_stride, acc[0][t], group.n_rows);
  }
}

template <class V, class Type, size_t kTokens, class Blocks>
[[gnu::flatten]] void MatVec256(Blocks group_blocks, const RowGroup& group, Upcoming next,
                                const Product& product) {
  using Int = typename V::Int;
  constexpr size_t kPrefetchBytes =
      V::kLanes * sizeof(typename Type::Block) / (Type::kCount / kChunks * (kChunks - 1));
  Prefetcher prefetcher(next);
  const BlockQ8x256* rows[kTokens];
  FindTokens(*product.x, 0, rows);
  FloatTile<V, 1, kTokens> acc;
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    acc[0][t] = V::FloatZero();
  }
  for (uint64_t b = 0; b < group.matrix->k / 256; ++b) {
    const auto block_rows = group_blocks.At(b);
    SuperHeader<V, Type::kCount> header;
    Type::ReadHeader(block_rows, &header);
    const typename Type::Shared shared(block_rows);
    const BlockQ8x256* blocks[kTokens];
    AtBlock(rows, b, blocks);
    IntTile<V, 1, kTokens> isum;
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      isum[0][t] = V::Zero();
    }
#pragma GCC unroll 4
    for (size_t chunk = 0; chunk < kChunks; ++chunk) {
      Int w[kSlicesPerChunk];
      Type::UnpackChunk(block_rows, shared, chunk, w);
      const auto scale_of = [&](size_t /*group*/, size_t sub) {
        // A few lines at a time, and none while the first chunk brings most of the super-block's
        // lines to the level 1 cache: both wait for the same miss buffers.
        if (chunk > 0) {
          prefetcher.Step(kPrefetchBytes);
        }
        return ScaleOf<V, Type>(header, sub);
      };
      AccumulateChunk<V, Type, 1, kTokens>({w}, scale_of, chunk, blocks, isum);
    }
    Int pairs[Type::kCount / 2];
    ExpandPairs<V, Type>(header, pairs);
    Finish256<V, Type, 1, kTokens>({header.d}, {header.dmin}, {pairs}, blocks, isum, acc);
  }
  for (size_t t = 0; t < kTokens && t < product.x->n_rows; ++t) {
    V::StoreFloats(product.y + t * product.y_stride, acc[0][t], group.n_rows);
  }
}

template <class V, class Type, size_t kTokens>
void MatVec(const RowGroup& group, Upcoming next, const Product& product) {
  WithBlocksOf<V, Type>(group, [&]<class Blocks>(const Blocks& blocks) {
    if constexpr (Type::Block::kElements == 256) {
      MatVec256<V, Type, kTokens>(blocks, group, next, product);
    } else if constexpr (kTokens == 1 && Type::Block::kElements == 32 &&
                         std::is_same_v<Blocks, StridedGroup<V, Type>>) {
      MatVec32Pieces<V, Type>(blocks, group, next, product);
    } else {
      MatVec32<V, Type, kTokens>(blocks, group, next, product);
    }
  });
}

}  // namespace
}  // namespace plimsoll::kernels
