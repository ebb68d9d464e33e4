// Matrix products with one quantized type for a few tokens (decode): a block of a row group is
// unpacked in registers and meets all tokens at once. Memory bandwidth is the limit, so what comes
// next is prefetched meanwhile where the processor would not do so by itself (NextRows).
//
// The functions are flattened: a call that passes vectors through memory costs more than the work
// (decode of Q4_0 took twice the time where the compiler chose not to inline).
#pragma once

#include <cstddef>
#include <cstdint>

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

// One row group of blocks of 32, one token, all of k. rows_at(b) is a source of block b's pieces.
template <class V, class Type, class RowsAt>
[[gnu::always_inline]] inline void MatVec32One(const RowGroup& group, ByteRange next, uint64_t k,
                                               const Product& product, const RowsAt& rows_at) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  using Rows = decltype(rows_at(0));
  Prefetcher prefetcher(next);
  const BlockQ8x32* row[1];
  FindTokens(*product.x, 0, row);
  FloatTile<V, 1, 1> acc = {{V::FloatZero()}};
  for (uint64_t b = 0; b < k / 32; ++b) {
    prefetcher.Step(V::kLanes * sizeof(typename Type::Block));
    const Rows rows = rows_at(b);
    Int pieces[2][kRowPieces];
    Type::UnpackPieces(rows, pieces);
    Float d;
    Float m;
    rows.Scales(&d, &m);
    const Int isum[1][1] = {{DotPieces<V, Type>(pieces, row[0][b].q)}};
    Finish32<V, Type, 1, 1>({d}, {m}, {row[0] + b}, isum, acc);
  }
  V::StoreFloats(product.y, Rows::InRowOrder(acc[0][0]), group.n_rows);
}

// Rows of a native matrix, or of a group that is not full.
template <class V, class Type>
[[gnu::flatten]] void MatVec32Strided(const RowGroup& group, ByteRange next, uint64_t k,
                                      const Product& product) {
  GroupReader<V, Type> reader(group);
  MatVec32One<V, Type>(group, next, k, product, [&](uint64_t b) {
    size_t stride;
    const std::byte* p = reader.At(b, &stride);
    return StridedRows<V, Type>(p, stride);
  });
}

// Full groups of rows16.
template <class V, class Type>
[[gnu::flatten]] void MatVec32Dense(const RowGroup& group, uint64_t k, const Product& product) {
  MatVec32One<V, Type>(group, {}, k, product, [&](uint64_t b) {
    return typename V::template DenseRows<Type>(group.base + b * group.block_stride);
  });
}

// One row group, kTokens tokens, all of k.
template <class V, class Type, size_t kTokens>
[[gnu::flatten]] void MatVec32(const RowGroup& group, ByteRange next, uint64_t k,
                               const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  GroupReader<V, Type> reader(group);
  Prefetcher prefetcher(next);
  const BlockQ8x32* rows[kTokens];
  FindTokens(*product.x, 0, rows);
  FloatTile<V, 1, kTokens> acc;
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    acc[0][t] = V::FloatZero();
  }
  for (uint64_t b = 0; b < k / 32; ++b) {
    prefetcher.Step(V::kLanes * sizeof(typename Type::Block));
    size_t stride;
    const std::byte* p = reader.At(b, &stride);
    Int w[kSlices32];
    Type::Unpack(p, stride, w);
    Float d;
    Float m;
    Type::ReadScales(p, stride, &d, &m);
    const BlockQ8x32* blocks[kTokens];
    AtBlock(rows, b, blocks);
    Accumulate32<V, Type, 1, kTokens>({w}, {d}, {m}, blocks, acc);
  }
  for (size_t t = 0; t < kTokens && t < product.x->n_rows; ++t) {
    V::StoreFloats(product.y + t * product.y_stride, acc[0][t], group.n_rows);
  }
}

template <class V, class Type, size_t kTokens>
[[gnu::flatten]] void MatVec256(const RowGroup& group, ByteRange next, uint64_t k,
                                const Product& product) {
  using Int = typename V::Int;
  constexpr size_t kPrefetchBytes =
      V::kLanes * sizeof(typename Type::Block) / (Type::kCount / kChunks * (kChunks - 1));
  GroupReader<V, Type> reader(group);
  Prefetcher prefetcher(next);
  const BlockQ8x256* rows[kTokens];
  FindTokens(*product.x, 0, rows);
  FloatTile<V, 1, kTokens> acc;
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    acc[0][t] = V::FloatZero();
  }
  for (uint64_t b = 0; b < k / 256; ++b) {
    size_t stride;
    const std::byte* p = reader.At(b, &stride);
    SuperHeader<V, Type::kCount> header;
    Type::ReadHeader(p, stride, &header);
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
      Type::UnpackChunk(p, stride, chunk, w);
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
void MatVec(const RowGroup& group, ByteRange next, uint64_t k, const Product& product) {
  if constexpr (Type::Block::kElements == 32 && kTokens == 1) {
    if constexpr (V::template kHasDenseRows<typename Type::Block>) {
      if (group.n_rows == V::kLanes && group.row_stride == sizeof(typename Type::Block)) {
        return MatVec32Dense<V, Type>(group, k, product);
      }
    }
    MatVec32Strided<V, Type>(group, next, k, product);
  } else if constexpr (Type::Block::kElements == 32) {
    MatVec32<V, Type, kTokens>(group, next, k, product);
  } else {
    MatVec256<V, Type, kTokens>(group, next, k, product);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
