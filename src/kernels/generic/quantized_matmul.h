// Matrix products with one quantized type, in two forms that give the same bits: MatVec for a few
// tokens (quantized_matvec.h), and MatMat for many (prefill): kTileGroups row groups by a panel of
// k are unpacked into the workspace once, then met by all tokens, tile after tile. Accumulators
// pass from panel to panel through y; storing a float is exact.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/quantized_accumulate.h"
#include "kernels/generic/quantized_matbatch.h"
#include "kernels/generic/quantized_matvec.h"
#include "kernels/generic/quantized_rows.h"
#include "kernels/generic/quantized_tokens.h"
#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

// Of k that are unpacked together: 80 to 90 KiB of workspace, which stays in a level 2 cache.
inline constexpr uint64_t kPanelElements = 2048;
inline constexpr uint64_t kPanelBlocks32 = kPanelElements / 32;
inline constexpr uint64_t kPanelBlocks256 = kPanelElements / 256;

template <class V, class Type>
struct PanelBlock32 {
  typename V::Int w[kSlices32];
  typename V::Float d;
  typename V::Float m;
};

template <class V, class Type>
  requires Type::kSigned
struct PanelBlock32<V, Type> {
  SignedSlices<V> w;
  typename V::Float d;
};

// A type whose weights are unpacked already.
template <class Type>
struct InPanel : Type {
  static constexpr bool kKeepsSums = true;
};

template <class V, class Type>
struct PanelBlock256 {
  typename V::Int w[kChunks * kSlicesPerChunk];
  ExpandedHeader<V, Type::kCount> header;
};

template <class V>
constexpr size_t QuantizedWorkspaceBytes() {
  constexpr size_t kOf32 = kPanelBlocks32 * sizeof(PanelBlock32<V, LanesQ8_0<V>>);
  constexpr size_t kOf256 = kPanelBlocks256 * sizeof(PanelBlock256<V, LanesQ2_K<V>>);
  return V::kTileGroups * (kOf32 > kOf256 ? kOf32 : kOf256);
}

// A panel as MatMat keeps it: block b of group r at blocks[r * panel blocks + b]. `begin` and `n`
// count 32 elements each, and are whole blocks.
template <class V, class Type, class Blocks>
[[gnu::flatten]] void UnpackPanel32(Blocks blocks, uint64_t begin, uint64_t n,
                                    PanelBlock32<V, Type>* panel) {
  for (uint64_t i = 0; i < n; i += kPartsOf<Type>) {
    const auto rows = blocks.At((begin + i) / kPartsOf<Type>);
#pragma GCC unroll 2
    for (size_t part = 0; part < kPartsOf<Type>; ++part) {
      const auto part_rows = PartOf<Type>(rows, part);
      PanelBlock32<V, Type>& block = panel[i + part];
      if constexpr (Type::kSigned) {
        typename V::Int w[kSlices32];
        Type::Unpack(part_rows, w);
        SplitSigns<V>(w, &block.w);
        Type::ReadScales(part_rows, &block.d, &block.d);
      } else {
        Type::Unpack(part_rows, block.w);
        Type::ReadScales(part_rows, &block.d, &block.m);
      }
    }
  }
}

template <class V, class Type, class Blocks>
[[gnu::flatten]] void UnpackPanel256(Blocks blocks, uint64_t begin, uint64_t n,
                                     PanelBlock256<V, Type>* panel) {
  for (uint64_t i = 0; i < n; ++i) {
    const auto rows = blocks.At(begin + i);
    SuperHeader<V, Type::kCount> header;
    Type::ReadHeader(rows, &header);
    Expand<V, Type>(header, &panel[i].header);
    const typename Type::Shared shared(rows);
#pragma GCC unroll 4
    for (size_t chunk = 0; chunk < kChunks; ++chunk) {
      Type::UnpackChunk(rows, shared, chunk, panel[i].w + chunk * kSlicesPerChunk);
    }
  }
}

// The accumulators of a tile, from y to y.
template <class V, size_t kGroups, size_t kTokens>
class TileOutput {
 public:
  TileOutput(const RowGroup* groups, size_t token, const Product& product)
      : groups_(groups), y_(product.y + token * product.y_stride), y_stride_(product.y_stride) {
    const size_t left = product.x->n_rows - token;
    n_tokens_ = left < kTokens ? left : kTokens;
  }

  void Load(bool first, FloatTile<V, kGroups, kTokens>& acc) const {
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        acc[r][t] = first || t >= n_tokens_
                        ? V::FloatZero()
                        : V::LoadFloats(y_ + t * y_stride_ + r * V::kLanes, groups_[r].n_rows);
      }
    }
  }
  void Store(const FloatTile<V, kGroups, kTokens>& acc) const {
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        if (t < n_tokens_) {
          V::StoreFloats(y_ + t * y_stride_ + r * V::kLanes, acc[r][t], groups_[r].n_rows);
        }
      }
    }
  }

 private:
  const RowGroup* groups_;
  float* y_;
  size_t y_stride_;
  size_t n_tokens_;
};

// Block i of a panel of kGroups groups, for a tile.
template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void AccumulatePanelBlock32(const PanelBlock32<V, Type>* panel,
                                                          uint64_t i,
                                                          const BlockQ8x32* const (&x)[kTokens],
                                                          FloatTile<V, kGroups, kTokens>& acc) {
  using Float = typename V::Float;
  const PanelBlock32<V, Type>* block[kGroups];
  Float d[kGroups];
#pragma GCC unroll 2
  for (size_t r = 0; r < kGroups; ++r) {
    block[r] = panel + r * kPanelBlocks32 + i;
    d[r] = block[r]->d;
  }
  if constexpr (Type::kSigned) {
    const SignedSlices<V>* w[kGroups];
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      w[r] = &block[r]->w;
    }
    AccumulateSigned32<V, Type, kGroups, kTokens>(w, d, x, acc);
  } else {
    const typename V::Int* w[kGroups];
    Float m[kGroups];
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      w[r] = block[r]->w;
      m[r] = Type::kHasMin || Type::kHalves ? block[r]->m : d[r];
    }
    Accumulate32<V, InPanel<Type>, kGroups, kTokens>(w, d, m, x, acc);
  }
}

template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::flatten]] void MatMatTile32(const RowGroup* groups, size_t token, uint64_t begin, uint64_t n,
                                   const PanelBlock32<V, Type>* panel, const Product& product) {
  const TileOutput<V, kGroups, kTokens> output(groups, token, product);
  FloatTile<V, kGroups, kTokens> acc;
  output.Load(begin == 0, acc);
  const BlockQ8x32* rows[kTokens];
  FindTokens(*product.x, token, rows);
  for (uint64_t i = 0; i < n; ++i) {
    const BlockQ8x32* blocks[kTokens];
    AtBlock(rows, begin + i, blocks);
    AccumulatePanelBlock32<V, Type, kGroups, kTokens>(panel, i, blocks, acc);
  }
  output.Store(acc);
}

template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::flatten]] void MatMatTile256(const RowGroup* groups, size_t token, uint64_t begin,
                                    uint64_t n, const PanelBlock256<V, Type>* panel,
                                    const Product& product) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  const TileOutput<V, kGroups, kTokens> output(groups, token, product);
  FloatTile<V, kGroups, kTokens> acc;
  output.Load(begin == 0, acc);
  const BlockQ8x256* rows[kTokens];
  FindTokens(*product.x, token, rows);
  for (uint64_t i = 0; i < n; ++i) {
    const BlockQ8x256* blocks[kTokens];
    AtBlock(rows, begin + i, blocks);
    const PanelBlock256<V, Type>* block[kGroups];
    Float d[kGroups];
    Float dmin[kGroups];
    const Int* pairs[kGroups];
    IntTile<V, kGroups, kTokens> isum;
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      block[r] = panel + r * kPanelBlocks256 + i;
      d[r] = block[r]->header.d;
      dmin[r] = block[r]->header.dmin;
      pairs[r] = block[r]->header.pairs;
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) {
        isum[r][t] = V::Zero();
      }
    }
    for (size_t chunk = 0; chunk < kChunks; ++chunk) {
      const Int* w[kGroups];
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        w[r] = block[r]->w + chunk * kSlicesPerChunk;
      }
      AccumulateChunk<V, InPanel<Type>, kGroups, kTokens>(
          w, [&](size_t r, size_t sub) { return block[r]->header.scales[sub]; }, chunk, blocks,
          isum);
    }
    Finish256<V, Type, kGroups, kTokens>(d, dmin, pairs, blocks, isum, acc);
  }
  output.Store(acc);
}

// Runs tile.operator()<size>(token) over all tokens: full tiles, then the smallest that holds the
// rest, which matters to a batch of a few sequences. What is past the end of the tokens is padding.
template <class V, class Tile>
void ForEachTile(size_t n_tokens, const Tile& tile) {
  constexpr size_t kFull = V::kTileTokens;
  constexpr size_t kHalf = kFull / 2;
  constexpr size_t kMiddle = kFull - 2 > kHalf ? kFull - 2 : kHalf;
  for (size_t token = 0; token < n_tokens;) {
    const size_t left = n_tokens - token;
    if (left <= kHalf) {
      tile.template operator()<kHalf>(token);
      token += kHalf;
    } else if (left <= kMiddle) {
      tile.template operator()<kMiddle>(token);
      token += kMiddle;
    } else {
      tile.template operator()<kFull>(token);
      token += kFull;
    }
  }
}

template <class V, class Type, size_t kGroups>
void MatMat32(const RowGroup* groups, uint64_t k, const Product& product) {
  using Block = PanelBlock32<V, Type>;
  static_assert(V::kTileGroups * kPanelBlocks32 * sizeof(Block) <= QuantizedWorkspaceBytes<V>());
  auto* panel = reinterpret_cast<Block*>(product.workspace);
  const uint64_t n_blocks = k / 32;
  for (uint64_t begin = 0; begin < n_blocks; begin += kPanelBlocks32) {
    const uint64_t n = n_blocks - begin < kPanelBlocks32 ? n_blocks - begin : kPanelBlocks32;
    for (uint64_t r = 0; r < kGroups; ++r) {
      WithBlocksOf<V, Type>(groups[r], [&](const auto& blocks) {
        UnpackPanel32<V, Type>(blocks, begin, n, panel + r * kPanelBlocks32);
      });
    }
    ForEachTile<V>(product.x->n_rows, [&]<size_t kTokens>(size_t token) {
      MatMatTile32<V, Type, kGroups, kTokens>(groups, token, begin, n, panel, product);
    });
  }
}

template <class V, class Type, size_t kGroups>
void MatMat256(const RowGroup* groups, uint64_t k, const Product& product) {
  auto* panel = reinterpret_cast<PanelBlock256<V, Type>*>(product.workspace);
  const uint64_t n_blocks = k / 256;
  for (uint64_t begin = 0; begin < n_blocks; begin += kPanelBlocks256) {
    const uint64_t n = n_blocks - begin < kPanelBlocks256 ? n_blocks - begin : kPanelBlocks256;
    for (uint64_t r = 0; r < kGroups; ++r) {
      WithBlocksOf<V, Type>(groups[r], [&](const auto& blocks) {
        UnpackPanel256<V, Type>(blocks, begin, n, panel + r * kPanelBlocks256);
      });
    }
    ForEachTile<V>(product.x->n_rows, [&]<size_t kTokens>(size_t token) {
      MatMatTile256<V, Type, kGroups, kTokens>(groups, token, begin, n, panel, product);
    });
  }
}

template <class V, class Type, size_t kGroups>
void MatMat(const RowGroup* groups, uint64_t k, const Product& product) {
  if constexpr (Type::Block::kElements == 256) {
    MatMat256<V, Type, kGroups>(groups, k, product);
  } else {
    MatMat32<V, Type, kGroups>(groups, k, product);
  }
}

// KernelSet::matmul for one type.
template <class V, class Type>
void MatMulType(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end, const Activations& x,
                float* y, size_t y_stride, std::byte* workspace) {
  uint64_t step = 0;
  for (uint64_t row = row_begin; row < row_end; row += step) {
    const Product product = {&x, y + (row - row_begin), y_stride, workspace};
    const RowGroup groups[2] = {MakeRowGroup<V>(w, row, row_end),
                                MakeRowGroup<V>(w, row + V::kLanes, row_end)};
    if constexpr (V::kLanes < tensor::kRowsPerGroup) {
      if (AreHalves<V>(groups) && MatVecOfHalves<V, Type>(groups, product)) {
        step = tensor::kRowsPerGroup;
        continue;
      }
    }
    step = x.n_rows <= kBatchTokensMax ? V::kLanes : V::kTileGroups * V::kLanes;
    const Upcoming next = AheadOf<V, Type>(w, row, row_end);
    if (x.n_rows == 1) {
      MatVec<V, Type, 1>(groups[0], next, product);
    } else if (x.n_rows == 2) {
      MatVec<V, Type, 2>(groups[0], next, product);
    } else if (x.n_rows <= kMatVecTokensMax) {
      MatVec<V, Type, 4>(groups[0], next, product);
    } else if (x.n_rows <= kBatchTokensMax) {
      MatBatch<V, Type>(groups[0], next, product);
    } else if (groups[1].n_rows > 0) {
      MatMat<V, Type, 2>(groups, w.k, product);
    } else {
      MatMat<V, Type, 1>(groups, w.k, product);
    }
  }
}

}  // namespace
}  // namespace plimsoll::kernels
