// Matrix products with F32, F16 and BF16 weights, over the F32x16 `V` of an instruction set.
//
// A lane is a stripe of k (docs/numerics.md), so a (row, token) has one vector of accumulators,
// folded at the end. One token streams eight rows at once from memory. Several tokens meet tiles of
// eight rows that were widened to floats once, in panels that stay in the first-level cache, while
// the accumulators of all tokens wait in the workspace.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

constexpr uint32_t kStripes = 16;
constexpr uint32_t kTileRows = 8;
constexpr uint32_t kPanelLength = 512;  // elements of k: eight rows are 16 KiB
constexpr size_t kPanelTokens = 12;     // from so many on a panel pays
constexpr size_t kTokenBatch = 96;      // whose accumulators are 48 KiB

constexpr size_t kPanelFloats = size_t{kTileRows} * kPanelLength;
constexpr size_t kAccumulatorFloats = kTokenBatch * kTileRows * kStripes;
constexpr size_t kFloatWorkspaceBytes = (kPanelFloats + kAccumulatorFloats) * sizeof(float);

// How elements of each type become floats.
template <class V>
struct ElementsF32 {
  static constexpr size_t kBytes = 4;
  static V Load(const std::byte* p) { return V::Load(reinterpret_cast<const float*>(p)); }
  static V LoadPart(const std::byte* p, size_t n) {
    return V::LoadPart(reinterpret_cast<const float*>(p), n);
  }
};
template <class V>
struct ElementsF16 {
  static constexpr size_t kBytes = 2;
  static V Load(const std::byte* p) { return V::LoadF16(p); }
  static V LoadPart(const std::byte* p, size_t n) { return V::LoadF16Part(p, n); }
};
template <class V>
struct ElementsBF16 {
  static constexpr size_t kBytes = 2;
  static V Load(const std::byte* p) { return V::LoadBF16(p); }
  static V LoadPart(const std::byte* p, size_t n) { return V::LoadBF16Part(p, n); }
};

struct Product {
  const std::byte* w;  // of the matrix
  uint64_t row_bytes;
  uint64_t k;
  uint64_t rows;  // of the matrix
  uint64_t row_begin;
  uint64_t row_end;
  const Activations* x;
  float* y;
  size_t y_stride;

  [[nodiscard]] const float* token(size_t i) const {
    const size_t stored = x->row_idx == nullptr ? i : x->row_idx[i];
    return reinterpret_cast<const float*>(x->data + stored * x->row_stride);
  }
  // Of the tile that starts at row r.
  [[nodiscard]] size_t tile_rows(uint64_t r) const {
    return row_end - r < kTileRows ? row_end - r : kTileRows;
  }
  [[nodiscard]] float* result(uint64_t r, size_t token) const {
    return y + token * y_stride + (r - row_begin);
  }
};

// The eight rows of a tile; where there are fewer, the last one again.
struct TileRows {
  const std::byte* row[kTileRows];

  TileRows(const Product& p, uint64_t r) {
    for (uint32_t i = 0; i < kTileRows; ++i) {
      const uint64_t at = r + i < p.row_end ? r + i : p.row_end - 1;
      row[i] = p.w + at * p.row_bytes;
    }
  }
};

// acc[t * kTileRows + r] = stripes of row r with token t, straight from the matrix. What lies
// `ahead` bytes on, the next tile, is asked for meanwhile: rows are too short for the hardware to
// foresee it.
template <class V, class Elements, size_t kRows, size_t kTokens>
inline void StreamRows(const std::byte* const* rows, size_t ahead, const float* const* tokens,
                       uint64_t k, V* acc) {
  const std::byte* w[kRows];
  const float* x[kTokens];
  V sums[kTokens][kRows];
  for (size_t r = 0; r < kRows; ++r) {
    w[r] = rows[r];
  }
  for (size_t t = 0; t < kTokens; ++t) {
    x[t] = tokens[t];
    for (V& sum : sums[t]) {
      sum = V::Zero();
    }
  }
  uint64_t i = 0;
  for (; i + kStripes <= k; i += kStripes) {
    for (size_t r = 0; r < kRows; ++r) {
      const std::byte* at = w[r] + i * Elements::kBytes;
      _mm_prefetch(reinterpret_cast<const char*>(at + ahead), _MM_HINT_T1);
      const V weight = Elements::Load(at);
      for (size_t t = 0; t < kTokens; ++t) {
        sums[t][r] = Fma(weight, V::Load(x[t] + i), sums[t][r]);
      }
    }
  }
  if (const uint64_t n = k - i; n > 0) {
    for (size_t r = 0; r < kRows; ++r) {
      const V weight = Elements::LoadPart(w[r] + i * Elements::kBytes, n);
      for (size_t t = 0; t < kTokens; ++t) {
        sums[t][r] = FmaPart(weight, V::LoadPart(x[t] + i, n), sums[t][r], n);
      }
    }
  }
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t r = 0; r < kRows; ++r) {
      acc[t * kTileRows + r] = sums[t][r];
    }
  }
}

// A tile of eight rows and kTokens tokens from token t on.
template <class V, class Elements, size_t kTokens>
inline void StreamTile(const Product& p, const TileRows& tile, uint64_t r, size_t t) {
  constexpr size_t kFit = V::kAccumulators / kTokens;
  constexpr size_t kRows = kFit < kTileRows ? kFit : kTileRows;
  static_assert(kTileRows % kRows == 0);
  const float* tokens[kTokens];
  for (size_t i = 0; i < kTokens; ++i) {
    tokens[i] = p.token(t + i);
  }
  V acc[kTokens * kTileRows];
  for (size_t i = 0; i < kTileRows; i += kRows) {
    StreamRows<V, Elements, kRows, kTokens>(tile.row + i, kTileRows * p.row_bytes, tokens, p.k,
                                            acc + i);
  }
  for (size_t i = 0; i < kTokens; ++i) {
    StoreTreeSums8(acc + i * kTileRows, p.result(r, t + i), p.tile_rows(r));
  }
}

template <class V, class Elements>
inline void FewTokens(const Product& p) {
  constexpr size_t kTokens = V::kAccumulators >= 24 ? 3 : 2;
  const size_t n_tokens = p.x->n_rows;
  for (uint64_t r = p.row_begin; r < p.row_end; r += kTileRows) {
    const TileRows tile(p, r);
    size_t t = 0;
    for (; t + kTokens <= n_tokens; t += kTokens) {
      StreamTile<V, Elements, kTokens>(p, tile, r, t);
    }
    for (; t < n_tokens; ++t) {
      StreamTile<V, Elements, 1>(p, tile, r, t);
    }
  }
}

// Adds n chunks of 16 elements of kRows panel rows and kTokens activation rows to the accumulators
// acc[token][row][16], of which this is the part of one register. The panel is [chunk][row][16].
template <class Register, uint32_t kRows, uint32_t kTokens>
inline void AddTile(const float* panel, const float* const* x, uint32_t n, float* acc) {
  Register sums[kTokens][kRows];
  for (uint32_t t = 0; t < kTokens; ++t) {
    for (uint32_t r = 0; r < kRows; ++r) {
      sums[t][r] = Register::Load(acc + (t * kTileRows + r) * kStripes);
    }
  }
  const float* tokens[kTokens];
  for (uint32_t t = 0; t < kTokens; ++t) {
    tokens[t] = x[t];
  }
  for (uint32_t i = 0; i < n * kStripes; i += kStripes) {
    Register activations[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
      activations[t] = Register::Load(tokens[t] + i);
    }
    for (uint32_t r = 0; r < kRows; ++r) {
      Register weight = Register::Load(panel + (i * kTileRows) + r * kStripes);
      KeepInRegister(weight);
      for (uint32_t t = 0; t < kTokens; ++t) {
        sums[t][r] = Fma(weight, activations[t], sums[t][r]);
      }
    }
  }
  for (uint32_t t = 0; t < kTokens; ++t) {
    for (uint32_t r = 0; r < kRows; ++r) {
      sums[t][r].Store(acc + (t * kTileRows + r) * kStripes);
    }
  }
}

// All eight rows and all stripes, in as many register tiles as that takes.
template <class V, uint32_t kTokens>
inline void AddTiles(const float* panel, const float* const* x, uint32_t n, float* acc) {
  using Register = typename V::Register;
  constexpr uint32_t kLanes = V::kRegisterLanes;
  constexpr uint32_t kRows = kLanes == kStripes ? kTileRows : kTileRows / 2;
  for (uint32_t lane = 0; lane < kStripes; lane += kLanes) {
    const float* at[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
      at[t] = x[t] + lane;
    }
    for (uint32_t r = 0; r < kTileRows; r += kRows) {
      AddTile<Register, kRows, kTokens>(panel + r * kStripes + lane, at, n,
                                        acc + r * kStripes + lane);
    }
  }
}

// Eight rows of part of the matrix that are going to be read next.
struct NextPanel {
  const std::byte* first;
  uint64_t row_bytes;    // between rows
  size_t lines_per_row;  // of 64 bytes
  size_t n_lines;

  // The share of tile i of n: spread over the tiles, the reads overlap the arithmetic.
  void Prefetch(size_t i, size_t n) const {
    for (size_t line = n_lines * i / n; line < n_lines * (i + 1) / n; ++line) {
      const size_t row = line / lines_per_row;
      _mm_prefetch(
          reinterpret_cast<const char*>(first + row * row_bytes + line % lines_per_row * 64),
          _MM_HINT_T1);
    }
  }
};

// Adds panel columns [0, n * 16), which are columns [k_begin, ...) of the matrix, for every token.
template <class V>
inline void AddPanel(const Product& p, const float* panel, uint64_t k_begin, uint32_t n,
                     size_t token_begin, size_t n_tokens, const NextPanel& next, float* acc) {
  constexpr size_t kTokens = 3;
  for (size_t t = 0; t < n_tokens; t += kTokens) {
    next.Prefetch(t / kTokens, (n_tokens + kTokens - 1) / kTokens);
    const size_t left = n_tokens - t < kTokens ? n_tokens - t : kTokens;
    const float* x[kTokens];
    for (size_t i = 0; i < left; ++i) {
      x[i] = p.token(token_begin + t + i) + k_begin;
    }
    float* at = acc + t * kTileRows * kStripes;
    if (left == 3) {
      AddTiles<V, 3>(panel, x, n, at);
    } else if (left == 2) {
      AddTiles<V, 2>(panel, x, n, at);
    } else {
      AddTiles<V, 1>(panel, x, n, at);
    }
  }
}

// The last k % 16 elements: only the stripes that they belong to.
template <class V, class Elements>
inline void AddTail(const Product& p, const TileRows& tile, size_t token_begin, size_t n_tokens,
                    float* acc) {
  const uint64_t begin = p.k / kStripes * kStripes;
  const uint64_t n = p.k - begin;
  if (n == 0) {
    return;
  }
  for (uint32_t r = 0; r < kTileRows; ++r) {
    const V weight = Elements::LoadPart(tile.row[r] + begin * Elements::kBytes, n);
    for (size_t t = 0; t < n_tokens; ++t) {
      float* at = acc + (t * kTileRows + r) * kStripes;
      const V activation = V::LoadPart(p.token(token_begin + t) + begin, n);
      FmaPart(weight, activation, V::Load(at), n).Store(at);
    }
  }
}

// What follows the panel of rows [r, r + 8) that begins at column `begin`, in the order of reading.
inline NextPanel PanelAfter(const Product& p, uint64_t r, uint64_t begin, size_t element) {
  begin += kPanelLength;
  if (begin >= p.k) {
    begin = 0;
    r += kTileRows;
  }
  if (r + kTileRows > p.row_end) {
    return {nullptr, 0, 1, 0};
  }
  const uint64_t length = p.k - begin < kPanelLength ? p.k - begin : kPanelLength;
  const size_t lines = (length * element + 63) / 64;
  return {p.w + r * p.row_bytes + begin * element, p.row_bytes, lines, lines * kTileRows};
}

// Eight rows from row r on with up to kTokenBatch tokens.
template <class V, class Elements>
inline void TileTimesTokens(const Product& p, uint64_t r, size_t token_begin, size_t n_tokens,
                            float* workspace) {
  float* panel = workspace;
  float* acc = workspace + kPanelFloats;
  __builtin_memset(acc, 0, n_tokens * kTileRows * kStripes * sizeof(float));
  const TileRows tile(p, r);
  for (uint64_t begin = 0; begin + kStripes <= p.k; begin += kPanelLength) {
    const uint64_t left = (p.k - begin) / kStripes;
    const auto n =
        static_cast<uint32_t>(left < kPanelLength / kStripes ? left : kPanelLength / kStripes);
    for (uint32_t i = 0; i < kTileRows; ++i) {
      const std::byte* row = tile.row[i] + begin * Elements::kBytes;
      for (uint32_t j = 0; j < n * kStripes; j += kStripes) {
        Elements::Load(row + j * Elements::kBytes).Store(panel + j * kTileRows + i * kStripes);
      }
    }
    AddPanel<V>(p, panel, begin, n, token_begin, n_tokens,
                PanelAfter(p, r, begin, Elements::kBytes), acc);
  }
  AddTail<V, Elements>(p, tile, token_begin, n_tokens, acc);
  for (size_t t = 0; t < n_tokens; ++t) {
    V sums[kTileRows];
    for (uint32_t i = 0; i < kTileRows; ++i) {
      sums[i] = V::Load(acc + (t * kTileRows + i) * kStripes);
    }
    StoreTreeSums8(sums, p.result(r, token_begin + t), p.tile_rows(r));
  }
}

template <class V, class Elements>
inline void ManyTokens(const Product& p, float* workspace) {
  for (size_t t = 0; t < p.x->n_rows; t += kTokenBatch) {
    const size_t left = p.x->n_rows - t;
    for (uint64_t r = p.row_begin; r < p.row_end; r += kTileRows) {
      TileTimesTokens<V, Elements>(p, r, t, left < kTokenBatch ? left : kTokenBatch, workspace);
    }
  }
}

// Interleaved rows: a lane is a row, and the sixteen stripes are sixteen vectors, so that they fold
// without shuffles. Nothing stores float weights this way for speed; it is here to be complete.
template <class V, class Elements>
inline void InterleavedRows(const Product& p) {
  for (uint64_t group = p.row_begin; group < p.row_end; group += kStripes) {
    const uint64_t n_rows = p.rows - group < kStripes ? p.rows - group : kStripes;
    const std::byte* w = p.w + group * p.row_bytes;
    const auto load = [=](uint64_t i) {
      const std::byte* at = w + i * n_rows * Elements::kBytes;
      return n_rows == kStripes ? Elements::Load(at) : Elements::LoadPart(at, n_rows);
    };
    for (size_t t = 0; t < p.x->n_rows; ++t) {
      const float* x = p.token(t);
      V acc[kStripes];
      for (V& v : acc) {
        v = V::Zero();
      }
      uint64_t i = 0;
      for (; i + kStripes <= p.k; i += kStripes) {
        for (uint32_t l = 0; l < kStripes; ++l) {
          acc[l] = Fma(load(i + l), V::Set(x[i + l]), acc[l]);
        }
      }
      for (uint32_t l = 0; i + l < p.k; ++l) {
        acc[l] = Fma(load(i + l), V::Set(x[i + l]), acc[l]);
      }
      for (uint32_t width = kStripes / 2; width > 0; width /= 2) {
        for (uint32_t l = 0; l < width; ++l) {
          acc[l] = acc[l] + acc[l + width];
        }
      }
      const uint64_t left = p.row_end - group;
      acc[0].StorePart(p.result(group, t), left < n_rows ? left : n_rows);
    }
  }
}

template <class V, class Elements>
inline void MatMulOf(const Product& p, tensor::Layout layout, std::byte* workspace) {
  if (layout == tensor::Layout::kRows16) {
    InterleavedRows<V, Elements>(p);
  } else if (p.x->n_rows < kPanelTokens) {
    FewTokens<V, Elements>(p);
  } else {
    ManyTokens<V, Elements>(p, reinterpret_cast<float*>(workspace));
  }
}

template <class V>
void MatMulFloatOf(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                   const Activations& x, float* y, size_t y_stride, std::byte* workspace) {
  const size_t element = w.dtype == tensor::DType::kF32 ? 4 : 2;
  const Product p{w.data, w.k * element, w.k, w.rows, row_begin, row_end, &x, y, y_stride};
  if (w.dtype == tensor::DType::kF32) {
    MatMulOf<V, ElementsF32<V>>(p, w.layout, workspace);
  } else if (w.dtype == tensor::DType::kF16) {
    MatMulOf<V, ElementsF16<V>>(p, w.layout, workspace);
  } else {
    MatMulOf<V, ElementsBF16<V>>(p, w.layout, workspace);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
