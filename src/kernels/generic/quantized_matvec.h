// Matrix products with one quantized type for a few tokens (decode): a block of a row group is
// unpacked in registers and meets all tokens at once. Memory bandwidth is the limit, so what comes
// next is prefetched meanwhile where the processor would not do so by itself (AheadOf).
//
// The functions are flattened: a call that passes vectors through memory costs more than the work
// (decode of Q4_0 took twice the time where the compiler chose not to inline).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

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

// Up to here a block meets all tokens at once.
inline constexpr size_t kMatVecTokensMax = 4;

// One row group whose rows are apart, one token, all of k.
template <class V, class Type, class Blocks>
[[gnu::flatten]] void MatVec32Pieces(Blocks blocks, const RowGroup& group, Prefetcher prefetcher,
                                     const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
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

// Calls f(group, token).
template <size_t kGroups, size_t kTokens, class F>
[[gnu::always_inline]] inline void ForTile(const F& f) {
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      f(r, t);
    }
  }
}

template <class Blocks, size_t... kGroup>
[[gnu::always_inline]] inline auto BlocksAt(std::array<Blocks, sizeof...(kGroup)>& groups,
                                            uint64_t b, std::index_sequence<kGroup...> /*all*/) {
  return std::array{groups[kGroup].At(b)...};
}

template <class Type, class Rows, size_t... kGroup>
[[gnu::always_inline]] inline auto SharedOf(const std::array<Rows, sizeof...(kGroup)>& rows,
                                            std::index_sequence<kGroup...> /*all*/) {
  return std::array{typename Type::Shared(rows[kGroup])...};
}

// y from the accumulators of a tile.
template <class V, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void StoreTile(const FloatTile<V, kGroups, kTokens>& acc,
                                             const RowGroup* groups, const Product& product) {
  for (size_t t = 0; t < kTokens && t < product.x->n_rows; ++t) {
    for (size_t r = 0; r < kGroups; ++r) {
      V::StoreFloats(product.y + t * product.y_stride + r * V::kLanes, acc[r][t], groups[r].n_rows);
    }
  }
}

// kGroups row groups that lie together, kTokens tokens, all of k.
template <class V, class Type, size_t kTokens, size_t kGroups, class Blocks, class Ahead>
[[gnu::flatten]] void MatVec32(std::array<Blocks, kGroups> group_blocks, const RowGroup* groups,
                               Ahead ahead, const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  const BlockQ8x32* rows[kTokens];
  FindTokens(*product.x, 0, rows);
  FloatTile<V, kGroups, kTokens> acc;
  ForTile<kGroups, kTokens>([&](size_t r, size_t t) { acc[r][t] = V::FloatZero(); });
  for (uint64_t b = 0; b < groups->matrix->k / Type::Block::kElements; ++b) {
    ahead.Step(kGroups * V::kLanes * sizeof(typename Type::Block));
    const auto block_rows = BlocksAt(group_blocks, b, std::make_index_sequence<kGroups>());
#pragma GCC unroll 2
    for (size_t part = 0; part < kPartsOf<Type>; ++part) {
      Int unpacked[kGroups][kSlices32];
      const Int* w[kGroups];
      Float d[kGroups];
      Float m[kGroups];
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        const auto part_rows = PartOf<Type>(block_rows[r], part);
        Type::Unpack(part_rows, unpacked[r]);
        w[r] = unpacked[r];
        Type::ReadScales(part_rows, d + r, m + r);
      }
      const BlockQ8x32* blocks[kTokens];
      AtBlock(rows, b * kPartsOf<Type> + part, blocks);
      Accumulate32<V, Type, kGroups, kTokens>(w, d, m, blocks, acc);
    }
  }
  StoreTile<V, kGroups, kTokens>(acc, groups, product);
}

template <class V, class Type, size_t kTokens, size_t kGroups, class Blocks, class Ahead>
[[gnu::flatten]] void MatVec256(std::array<Blocks, kGroups> group_blocks, const RowGroup* groups,
                                Ahead ahead, const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  constexpr size_t kFirstChunk = Ahead::kEvenly ? 0 : 1;
  constexpr size_t kBytesOfStep = kGroups * V::kLanes * sizeof(typename Type::Block) /
                                  (Type::kCount / kChunks * (kChunks - kFirstChunk));
  const BlockQ8x256* rows[kTokens];
  FindTokens(*product.x, 0, rows);
  FloatTile<V, kGroups, kTokens> acc;
  IntTile<V, kGroups, kTokens> isum;
  ForTile<kGroups, kTokens>([&](size_t r, size_t t) { acc[r][t] = V::FloatZero(); });
  for (uint64_t b = 0; b < groups->matrix->k / 256; ++b) {
    const auto block_rows = BlocksAt(group_blocks, b, std::make_index_sequence<kGroups>());
    SuperHeader<V, Type::kCount> header[kGroups];
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      Type::ReadHeader(block_rows[r], header + r);
    }
    const auto shared = SharedOf<Type>(block_rows, std::make_index_sequence<kGroups>());
    const BlockQ8x256* blocks[kTokens];
    AtBlock(rows, b, blocks);
    ForTile<kGroups, kTokens>([&](size_t r, size_t t) { isum[r][t] = V::Zero(); });
#pragma GCC unroll 4
    for (size_t chunk = 0; chunk < kChunks; ++chunk) {
      Int unpacked[kGroups][kSlicesPerChunk];
      const Int* w[kGroups];
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        Type::UnpackChunk(block_rows[r], shared[r], chunk, unpacked[r]);
        w[r] = unpacked[r];
      }
      const auto scale_of = [&](size_t r, size_t sub) {
        // A few lines at a time; of what lies elsewhere none while the first chunk brings most of
        // the super-block's lines to the level 1 cache: both wait for the same miss buffers.
        if (r == 0 && chunk >= kFirstChunk) {
          ahead.Step(kBytesOfStep);
        }
        return ScaleOf<V, Type>(header[r], sub);
      };
      AccumulateChunk<V, Type, kGroups, kTokens>(w, scale_of, chunk, blocks, isum);
    }
    Int pairs[kGroups][Type::kCount / 2];
    const Int* pairs_of[kGroups];
    Float d[kGroups];
    Float dmin[kGroups];
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      ExpandPairs<V, Type>(header[r], pairs[r]);
      pairs_of[r] = pairs[r];
      d[r] = header[r].d;
      dmin[r] = header[r].dmin;
    }
    Finish256<V, Type, kGroups, kTokens>(d, dmin, pairs_of, blocks, isum, acc);
  }
  StoreTile<V, kGroups, kTokens>(acc, groups, product);
}

// One row group from either layout.
template <class V, class Type, size_t kTokens>
void MatVec(const RowGroup& group, Upcoming next, const Product& product) {
  WithBlocksOf<V, Type>(group, [&]<class Blocks>(const Blocks& blocks) {
    if constexpr (Type::Block::kElements == 256) {
      MatVec256<V, Type, kTokens>(std::array{blocks}, &group, Prefetcher(next), product);
    } else if constexpr (kTokens == 1 && Type::Block::kElements == 32 &&
                         std::is_same_v<Blocks, StridedGroup<V, Type>>) {
      MatVec32Pieces<V, Type>(blocks, group, Prefetcher(next), product);
    } else {
      MatVec32<V, Type, kTokens>(std::array{blocks}, &group, Prefetcher(next), product);
    }
  });
}

// The halves of sixteen rows that lie interleaved (AreHalves), for sets of eight lanes: together
// they are a stream, of which each by itself reads half of every line.
template <class V, class Type, size_t kTokens>
void MatVecOfHalves(const RowGroup* halves, const Product& product) {
  const std::array blocks = {InterleavedGroup<V, Type>(halves[0]),
                             InterleavedGroup<V, Type>(halves[1])};
  constexpr bool kInRuns = kTokens == 1 && requires { Type::kReadsInRuns; };
  const StreamAhead<kInRuns> ahead(blocks[0].base(), CpuLosesStreamsAtPages());
  if constexpr (Type::Block::kElements == 256) {
    MatVec256<V, Type, kTokens>(blocks, halves, ahead, product);
  } else {
    MatVec32<V, Type, kTokens>(blocks, halves, ahead, product);
  }
}

// Returns false where the halves are better met one after the other.
template <class V, class Type>
bool MatVecOfHalves(const RowGroup* halves, const Product& product) {
  const size_t n_tokens = product.x->n_rows;
  if constexpr (Type::Block::kElements < 256) {
    if (n_tokens == 2) {
      MatVecOfHalves<V, Type, 2>(halves, product);
      return true;
    }
    if (n_tokens > 2 && n_tokens <= kMatVecTokensMax) {
      MatVecOfHalves<V, Type, 4>(halves, product);
      return true;
    }
  }
  if constexpr (Type::Block::kElements < 256 || requires { Type::kHalvesTogether; }) {
    if (n_tokens == 1) {
      MatVecOfHalves<V, Type, 1>(halves, product);
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace plimsoll::kernels
