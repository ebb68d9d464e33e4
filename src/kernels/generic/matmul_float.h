// Matrix products with F32, F16 and BF16 weights, over the F32x16 `V` of an instruction set.
//
// A lane is a stripe of k (docs/numerics.md), so a (row, token) has one vector of accumulators,
// folded at the end. Few tokens stream the weights from memory: sixteen rows that are one stream
// (rows16), or eight native ones. Several tokens meet tiles of eight rows that were widened
// to floats once, in panels that stay in the first-level cache, while the accumulators of all
// tokens wait in the workspace.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/generic/prefetcher.h"
#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

constexpr uint32_t kFloatStripes = 16;
constexpr uint32_t kFloatTileRows = 8;
constexpr uint32_t kGroupRows = tensor::kRowsPerGroup;
constexpr uint32_t kPanelLength = tensor::kFloatPanel;  // eight rows are 16 KiB of floats
constexpr size_t kPanelTokens = 12;                     // from so many on a panel pays
constexpr size_t kTokenBatch = 96;                      // whose accumulators are 48 KiB a tile

constexpr size_t kPanelFloats = size_t{kFloatTileRows} * kPanelLength;
constexpr size_t kAccumulatorFloats = kTokenBatch * kFloatTileRows * kFloatStripes;
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

// What of a matrix that is streamed is asked for before it is read.
enum class Ask : uint8_t {
  kNothing,
  kLines,  // of the next tile, a line each row and chunk: the hardware does not foresee short rows
  kAhead,  // of the stream (StreamAhead)
};

struct FloatProduct {
  const std::byte* w;  // of the matrix
  tensor::Layout layout;
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
    return row_end - r < kFloatTileRows ? row_end - r : kFloatTileRows;
  }
  [[nodiscard]] float* result(uint64_t r, size_t token) const {
    return y + token * y_stride + (r - row_begin);
  }
};

// The eight rows of a tile, which are native or half a group of rows16; where there are fewer, the
// last one again.
class TileRows {
 public:
  TileRows(const FloatProduct& p, uint64_t r, size_t element)
      : native_(p.layout == tensor::Layout::kNative), k_(p.k), element_(element) {
    const uint64_t group = r - r % kGroupRows;
    const uint64_t left = p.rows - group;
    const uint64_t half = r - group;
    group_rows_ = left < kGroupRows ? left : kGroupRows;
    half_rows_ = group_rows_ - half < kFloatTileRows ? group_rows_ - half : kFloatTileRows;
    skipped_ = half;
    first_ = p.w + (native_ ? r : group) * p.row_bytes;
    row_bytes_ = native_ ? p.row_bytes : kFloatStripes * element;
    const uint64_t n = p.row_end - r;
    last_ = static_cast<uint32_t>((n < kFloatTileRows ? n : kFloatTileRows) - 1);
  }

  // The first sixteen elements of row i of the panel that begins at a column; the next sixteen are
  // chunk_bytes on.
  [[nodiscard]] const std::byte* Chunks(uint32_t i, uint64_t begin) const {
    return Panel(begin) + (i < last_ ? i : last_) * row_bytes_;
  }
  [[nodiscard]] size_t chunk_bytes() const {
    return (native_ ? 1 : half_rows_) * kFloatStripes * element_;
  }
  // The last k % 16 elements of row i.
  [[nodiscard]] const std::byte* Tail(uint32_t i) const {
    const uint64_t begin = k_ / kPanelLength * kPanelLength;
    const size_t row_bytes = native_ ? row_bytes_ : k_ % kFloatStripes * element_;
    return Panel(begin) + (k_ - begin) / kFloatStripes * chunk_bytes() +
           (i < last_ ? i : last_) * row_bytes;
  }

 private:
  [[nodiscard]] const std::byte* Panel(uint64_t begin) const {
    if (native_) {
      return first_ + begin * element_;
    }
    const uint64_t length = k_ - begin < kPanelLength ? k_ - begin : kPanelLength;
    return first_ + (begin * group_rows_ + length * skipped_) * element_;
  }

  bool native_;
  uint64_t k_;
  size_t element_;
  uint64_t group_rows_;
  uint64_t half_rows_;
  uint64_t skipped_;  // rows of the group before these
  const std::byte* first_;
  size_t row_bytes_;  // from a row's chunk to the next row's
  uint32_t last_;
};

// Adds a panel of n chunks of rows [first, first + kRows) of a tile and of kTokens tokens to
// acc[token * stride + row], straight from the matrix.
template <class V, class Elements, size_t kRows, size_t kTokens, Ask kAsk>
inline void StreamRows(const TileRows& tile, uint32_t first, uint64_t begin, uint64_t n,
                       size_t ahead, const float* const* tokens, size_t stride, V* acc) {
  const std::byte* w[kRows];
  const float* x[kTokens];
  V sums[kTokens][kRows];
  for (uint32_t r = 0; r < kRows; ++r) {
    w[r] = tile.Chunks(first + r, begin);
  }
  for (size_t t = 0; t < kTokens; ++t) {
    x[t] = tokens[t] + begin;
    for (size_t r = 0; r < kRows; ++r) {
      sums[t][r] = acc[t * stride + r];
    }
  }
  const size_t chunk_bytes = tile.chunk_bytes();
  StreamAhead<kTokens == 1> stream(w[0], CpuLosesStreamsAtPages());
  for (uint64_t chunk = 0; chunk < n; ++chunk) {
    if (kAsk == Ask::kAhead && first == 0) {  // a further pass finds what the first has read
      stream.Step(kFloatTileRows * kFloatStripes * Elements::kBytes);
    }
    for (size_t r = 0; r < kRows; ++r) {
      const std::byte* at = w[r] + chunk * chunk_bytes;
      if constexpr (kAsk == Ask::kLines) {
        AskFor(reinterpret_cast<uintptr_t>(at) + ahead);
      }
      const V weight = Elements::Load(at);
      for (size_t t = 0; t < kTokens; ++t) {
        sums[t][r] = Fma(weight, V::Load(x[t] + chunk * kFloatStripes), sums[t][r]);
      }
    }
  }
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t r = 0; r < kRows; ++r) {
      acc[t * stride + r] = sums[t][r];
    }
  }
}

// kTiles tiles from row r on and kTokens tokens from token t on. Two tiles of rows16 share a panel
// of activations: a whole row of them would not stay in the first-level cache.
template <class V, class Elements, size_t kTiles, size_t kTokens, Ask kAsk>
inline void StreamTiles(const FloatProduct& p, uint64_t r, size_t t) {
  constexpr size_t kFit = V::kAccumulators / kTokens;
  constexpr uint32_t kRows = kFit < kFloatTileRows ? kFit : kFloatTileRows;
  static_assert(kFloatTileRows % kRows == 0);
  constexpr size_t kAll = kTiles * kFloatTileRows;
  const float* tokens[kTokens];
  for (size_t i = 0; i < kTokens; ++i) {
    tokens[i] = p.token(t + i);
  }
  V acc[kTokens * kAll];
  for (V& sum : acc) {
    sum = V::Zero();
  }
  const TileRows tiles[2] = {{p, r, Elements::kBytes},
                             {p, r + (kTiles - 1) * kFloatTileRows, Elements::kBytes}};
  for (uint64_t begin = 0; begin + kFloatStripes <= p.k; begin += kPanelLength) {
    const uint64_t left = p.k - begin < kPanelLength ? p.k - begin : kPanelLength;
    const uint64_t n = left / kFloatStripes;
    for (size_t tile = 0; tile < kTiles; ++tile) {
      const size_t ahead = kFloatTileRows * p.row_bytes;
      for (uint32_t i = 0; i < kFloatTileRows; i += kRows) {
        StreamRows<V, Elements, kRows, kTokens, kAsk>(tiles[tile], i, begin, n, ahead, tokens, kAll,
                                                      acc + tile * kFloatTileRows + i);
      }
    }
  }
  if (const uint64_t n = p.k % kFloatStripes; n > 0) {
    for (uint32_t row = 0; row < kAll; ++row) {
      const V weight =
          Elements::LoadPart(tiles[row / kFloatTileRows].Tail(row % kFloatTileRows), n);
      for (size_t i = 0; i < kTokens; ++i) {
        V& sum = acc[i * kAll + row];
        sum = FmaPart(weight, V::LoadPart(tokens[i] + p.k - n, n), sum, n);
      }
    }
  }
  for (size_t i = 0; i < kTokens; ++i) {
    for (size_t tile = 0; tile < kTiles; ++tile) {
      const uint64_t at = r + tile * kFloatTileRows;
      StoreTreeSums8(acc + i * kAll + tile * kFloatTileRows, p.result(at, t + i), p.tile_rows(at));
    }
  }
}

template <class V, class Elements, size_t kTiles, Ask kAsk>
inline void FewTokens(const FloatProduct& p, uint64_t r) {
  constexpr size_t kTokens = V::kAccumulators >= 24 ? 3 : 2;
  size_t t = 0;
  for (; t + kTokens <= p.x->n_rows; t += kTokens) {
    StreamTiles<V, Elements, kTiles, kTokens, kAsk>(p, r, t);
  }
  for (; t < p.x->n_rows; ++t) {
    StreamTiles<V, Elements, kTiles, 1, kAsk>(p, r, t);
  }
}

template <class V, class Elements, Ask kAsk>
inline void FewTokensOfRows16(const FloatProduct& p) {
  for (uint64_t r = p.row_begin; r < p.row_end; r += kGroupRows) {
    if (p.row_end - r > kFloatTileRows) {
      FewTokens<V, Elements, 2, kAsk>(p, r);
    } else {
      FewTokens<V, Elements, 1, kAsk>(p, r);
    }
  }
}

template <class V, class Elements>
inline void FewTokens(const FloatProduct& p) {
  if (p.layout == tensor::Layout::kRows16) {
    // Sixteen lanes are so fast that the processor's own prefetching is in time.
    const bool asks = V::kRegisterLanes < kFloatStripes || CpuLosesStreamsAtPages();
    return asks ? FewTokensOfRows16<V, Elements, Ask::kAhead>(p)
                : FewTokensOfRows16<V, Elements, Ask::kNothing>(p);
  }
  for (uint64_t r = p.row_begin; r < p.row_end; r += kFloatTileRows) {
    FewTokens<V, Elements, 1, Ask::kLines>(p, r);
  }
}

// Adds n chunks of 16 elements of kRows panel rows and kTokens activation rows to the accumulators
// acc[token][row][16], of which this is the part of one register. The panel is [chunk][row][16].
template <class Register, uint32_t kRows, uint32_t kTokens>
inline void AddTile(const float* panel, const float* const* x, uint32_t n, float* acc) {
  Register sums[kTokens][kRows];
  for (uint32_t t = 0; t < kTokens; ++t) {
    for (uint32_t r = 0; r < kRows; ++r) {
      sums[t][r] = Register::Load(acc + (t * kFloatTileRows + r) * kFloatStripes);
    }
  }
  const float* tokens[kTokens];
  for (uint32_t t = 0; t < kTokens; ++t) {
    tokens[t] = x[t];
  }
  for (uint32_t i = 0; i < n * kFloatStripes; i += kFloatStripes) {
    Register activations[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
      activations[t] = Register::Load(tokens[t] + i);
    }
    for (uint32_t r = 0; r < kRows; ++r) {
      Register weight = Register::Load(panel + (i * kFloatTileRows) + r * kFloatStripes);
      KeepInRegister(weight);
      for (uint32_t t = 0; t < kTokens; ++t) {
        sums[t][r] = Fma(weight, activations[t], sums[t][r]);
      }
    }
  }
  for (uint32_t t = 0; t < kTokens; ++t) {
    for (uint32_t r = 0; r < kRows; ++r) {
      sums[t][r].Store(acc + (t * kFloatTileRows + r) * kFloatStripes);
    }
  }
}

// All eight rows and all stripes, in as many register tiles as that takes.
template <class V, uint32_t kTokens>
inline void AddTiles(const float* panel, const float* const* x, uint32_t n, float* acc) {
  using Register = typename V::Register;
  constexpr uint32_t kLanes = V::kRegisterLanes;
  constexpr uint32_t kRows = kLanes == kFloatStripes ? kFloatTileRows : kFloatTileRows / 2;
  for (uint32_t lane = 0; lane < kFloatStripes; lane += kLanes) {
    const float* at[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
      at[t] = x[t] + lane;
    }
    for (uint32_t r = 0; r < kFloatTileRows; r += kRows) {
      AddTile<Register, kRows, kTokens>(panel + r * kFloatStripes + lane, at, n,
                                        acc + r * kFloatStripes + lane);
    }
  }
}

// Part of the matrix that is going to be read next: runs of lines, so many bytes apart.
struct NextPanel {
  const std::byte* first;
  uint64_t run_bytes;    // from one run to the next
  size_t lines_per_run;  // of 64 bytes
  size_t n_lines;

  // The share of tile i of n: spread over the tiles, the reads overlap the arithmetic.
  void Prefetch(size_t i, size_t n) const {
    for (size_t line = n_lines * i / n; line < n_lines * (i + 1) / n; ++line) {
      const size_t run = line / lines_per_run;
      _mm_prefetch(
          reinterpret_cast<const char*>(first + run * run_bytes + line % lines_per_run * 64),
          _MM_HINT_T1);
    }
  }
};

// Adds panel columns [0, n * 16), which are columns [k_begin, ...) of the matrix, for every token.
template <class V>
inline void AddPanel(const FloatProduct& p, const float* panel, uint64_t k_begin, uint32_t n,
                     size_t token_begin, size_t n_tokens, const NextPanel& next, float* acc) {
  constexpr size_t kTokens = 3;
  for (size_t t = 0; t < n_tokens; t += kTokens) {
    next.Prefetch(t / kTokens, (n_tokens + kTokens - 1) / kTokens);
    const size_t left = n_tokens - t < kTokens ? n_tokens - t : kTokens;
    const float* x[kTokens];
    for (size_t i = 0; i < left; ++i) {
      x[i] = p.token(token_begin + t + i) + k_begin;
    }
    float* at = acc + t * kFloatTileRows * kFloatStripes;
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
inline void AddTail(const FloatProduct& p, const TileRows& tile, size_t token_begin,
                    size_t n_tokens, float* acc) {
  const uint64_t begin = p.k / kFloatStripes * kFloatStripes;
  const uint64_t n = p.k - begin;
  if (n == 0) {
    return;
  }
  for (uint32_t r = 0; r < kFloatTileRows; ++r) {
    const V weight = Elements::LoadPart(tile.Tail(r), n);
    for (size_t t = 0; t < n_tokens; ++t) {
      float* at = acc + (t * kFloatTileRows + r) * kFloatStripes;
      const V activation = V::LoadPart(p.token(token_begin + t) + begin, n);
      FmaPart(weight, activation, V::Load(at), n).Store(at);
    }
  }
}

// What follows the panel of rows [r, r + 8) that begins at column `begin`, in the order of reading.
inline NextPanel PanelAfter(const FloatProduct& p, uint64_t r, uint64_t begin, size_t element) {
  begin += kPanelLength;
  if (begin >= p.k) {
    begin = 0;
    r += kFloatTileRows;
  }
  if (r + kFloatTileRows > p.row_end) {
    return {nullptr, 0, 1, 0};
  }
  const uint64_t length = p.k - begin < kPanelLength ? p.k - begin : kPanelLength;
  const TileRows tile(p, r, element);
  if (p.layout == tensor::Layout::kNative) {
    const size_t lines = (length * element + 63) / 64;
    return {tile.Chunks(0, begin), p.row_bytes, lines, lines * kFloatTileRows};
  }
  const size_t lines = length / kFloatStripes * tile.chunk_bytes() / 64;
  return {tile.Chunks(0, begin), 0, lines + 1, lines};
}

// Eight rows from row r on with up to kTokenBatch tokens.
template <class V, class Elements>
inline void TileTimesTokens(const FloatProduct& p, uint64_t r, size_t token_begin, size_t n_tokens,
                            float* workspace) {
  float* panel = workspace;
  float* acc = workspace + kPanelFloats;
  __builtin_memset(acc, 0, n_tokens * kFloatTileRows * kFloatStripes * sizeof(float));
  const TileRows tile(p, r, Elements::kBytes);
  for (uint64_t begin = 0; begin + kFloatStripes <= p.k; begin += kPanelLength) {
    const uint64_t left = (p.k - begin) / kFloatStripes;
    const auto n = static_cast<uint32_t>(
        left < kPanelLength / kFloatStripes ? left : kPanelLength / kFloatStripes);
    for (uint32_t i = 0; i < kFloatTileRows; ++i) {
      const std::byte* chunk = tile.Chunks(i, begin);
      for (uint32_t j = 0; j < n; ++j, chunk += tile.chunk_bytes()) {
        Elements::Load(chunk).Store(panel + (j * kFloatTileRows + i) * kFloatStripes);
      }
    }
    AddPanel<V>(p, panel, begin, n, token_begin, n_tokens,
                PanelAfter(p, r, begin, Elements::kBytes), acc);
  }
  AddTail<V, Elements>(p, tile, token_begin, n_tokens, acc);
  for (size_t t = 0; t < n_tokens; ++t) {
    V sums[kFloatTileRows];
    for (uint32_t i = 0; i < kFloatTileRows; ++i) {
      sums[i] = V::Load(acc + (t * kFloatTileRows + i) * kFloatStripes);
    }
    StoreTreeSums8(sums, p.result(r, token_begin + t), p.tile_rows(r));
  }
}

template <class V, class Elements>
inline void ManyTokens(const FloatProduct& p, float* workspace) {
  for (size_t t = 0; t < p.x->n_rows; t += kTokenBatch) {
    const size_t left = p.x->n_rows - t;
    for (uint64_t r = p.row_begin; r < p.row_end; r += kFloatTileRows) {
      TileTimesTokens<V, Elements>(p, r, t, left < kTokenBatch ? left : kTokenBatch, workspace);
    }
  }
}

template <class V, class Elements>
inline void MatMulOf(const FloatProduct& p, std::byte* workspace) {
  if (p.x->n_rows >= kPanelTokens) {
    ManyTokens<V, Elements>(p, reinterpret_cast<float*>(workspace));
  } else {
    FewTokens<V, Elements>(p);
  }
}

template <class V>
void MatMulFloatOf(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                   const Activations& x, float* y, size_t y_stride, std::byte* workspace) {
  const size_t element = w.dtype == tensor::DType::kF32 ? 4 : 2;
  const FloatProduct p{w.data, w.layout, w.k * element, w.k, w.rows, row_begin, row_end,
                       &x,     y,        y_stride};
  if (w.dtype == tensor::DType::kF32) {
    MatMulOf<V, ElementsF32<V>>(p, workspace);
  } else if (w.dtype == tensor::DType::kF16) {
    MatMulOf<V, ElementsF16<V>>(p, workspace);
  } else {
    MatMulOf<V, ElementsBF16<V>>(p, workspace);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
