// Attention of some tokens of one sequence over one KV head, over the F32x16 `V` of an instruction
// set.
//
// A row is one query head of one token. Rows go through the blocks together: when there are many, a
// block's keys, and then its values, are widened to floats once for all of them; when there are
// few, the loops read the block as it is. A row's scores live for one block only. Which rows go
// together changes no bit: the order of operations within a row is that of docs/numerics.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/attention_panels.h"
#include "kernels/generic/attention_tiles.h"
#include "kernels/generic/exp.h"
#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kBatchRows = kAttentionTileRows;  // rows that go through the blocks together
constexpr size_t kFewRows = 8;                     // up to so many, widening a block does not pay

// One query head of one token, with its running softmax.
struct Row {
  const float* q;
  float* out;
  float max;
  float sum;
  uint32_t visible;  // of the present block's slots
};

struct Batch {
  Row rows[kBatchRows];
  // Of the present block: the rows that see anything of it, and their scores, then weights.
  Row* active[kBatchRows];
  alignas(64) float scores[kBatchRows][kKvBlockTokens];
};

// Bit i: slot i of the block is visible.
inline uint32_t SlotsOf(const VisibleSlots& token, uint32_t block) {
  const uint32_t first = block * kKvBlockTokens;
  if (token.end <= first || token.begin >= first + kKvBlockTokens) {
    return 0;
  }
  uint32_t visible = token.mask == nullptr ? ~0U : token.mask[block];
  if (token.begin > first) {
    visible &= ~0U << (token.begin - first);
  }
  if (token.end - first < kKvBlockTokens) {
    visible &= ~(~0U << (token.end - first));
  }
  return visible;
}

template <class V>
inline V FinishScores(const AttentionArgs& args, V dots) {
  const V scores = dots * V::Set(args.scale);
  if (args.logit_softcap == 0) {
    return scores;
  }
  const V cap = V::Set(args.logit_softcap);
  return cap * TanhOf(scores / cap);
}

// exp(before - after), by which everything merged so far is scaled.
template <class V>
inline float Correction(float before, float after) {
  return ExpOf(V::Set(before - after)).First();
}

// Turns the products of one row with a block's keys into weights, in place, and merges them into
// the row's softmax. Returns the correction.
template <class V>
inline float MergeScores(const AttentionArgs& args, Row* row, float* scores) {
  const V hidden = V::Set(-__builtin_inff());  // whose weight is +0
  const V low = Select(row->visible & 0xFFFFU, FinishScores(args, V::Load(scores)), hidden);
  const V high = Select(row->visible >> 16, FinishScores(args, V::Load(scores + 16)), hidden);
  const float block_max = MaxOf(Max(low, high));
  const float max = row->max < block_max ? block_max : row->max;
  const float correction = max == row->max ? 1.0F : Correction<V>(row->max, max);  // exp(0) is 1
  const V p_low = ExpOf(low - V::Set(max));
  const V p_high = ExpOf(high - V::Set(max));
  p_low.Store(scores);
  p_high.Store(scores + 16);
  row->sum = __builtin_fmaf(row->sum, correction, TreeSum(p_low + p_high));
  row->max = max;
  return correction;
}

template <class V, size_t kRows, class Slots>
inline void ScoreRows(const Slots& keys, size_t dim, Row* const* rows, Ahead& ahead,
                      float (*scores)[kKvBlockTokens]) {
  constexpr uint32_t kKeys = kTileScores / kRows;
  const float* q[kRows];
  uint32_t visible = 0;
  for (size_t r = 0; r < kRows; ++r) {
    q[r] = rows[r]->q;
    visible |= rows[r]->visible;
  }
  for (uint32_t i = 0; i < kKvBlockTokens; i += kKeys) {
    if (((visible >> i) & ((1U << kKeys) - 1)) != 0) {
      ScoreTile<V, kRows>(q, keys, i, dim, ahead, scores);
    }
  }
}

// The rows take the slots below the first one on which they differ together, and each the others
// of its own by itself.
template <class V, size_t kRows, class Slots>
inline void AddValuesOfRows(const Slots& values, size_t dim, Row* const* rows,
                            const float (*p)[kKvBlockTokens], const float* corrections,
                            Ahead& ahead) {
  float* out[kRows];
  uint32_t any = 0;
  uint32_t all = ~0U;
  for (size_t r = 0; r < kRows; ++r) {
    out[r] = rows[r]->out;
    any |= rows[r]->visible;
    all &= rows[r]->visible;
  }
  const uint32_t differing = any & ~all;
  const uint32_t together = differing == 0 ? ~0U : (differing & (0U - differing)) - 1;
  AddValues<V, kRows>(values, any & together, dim, p, corrections, ahead, out);
  if constexpr (kRows > 1) {
    constexpr float kAlreadyCorrected = 1;
    for (size_t r = 0; r < kRows; ++r) {
      if (const uint32_t others = rows[r]->visible & ~together; others != 0) {
        AddValues<V, 1>(values, others, dim, p + r, &kAlreadyCorrected, ahead, out + r);
      }
    }
  }
}

template <class V, class Slots>
inline void ScoreBatch(const Slots& keys, size_t dim, Batch& batch, size_t n, Ahead ahead) {
  size_t r = 0;
  for (; r + kTileRows <= n; r += kTileRows) {
    ScoreRows<V, kTileRows>(keys, dim, batch.active + r, ahead, batch.scores + r);
  }
  for (; r + 2 <= n; r += 2) {
    ScoreRows<V, 2>(keys, dim, batch.active + r, ahead, batch.scores + r);
  }
  if (r < n) {
    ScoreRows<V, 1>(keys, dim, batch.active + r, ahead, batch.scores + r);
  }
}

template <class V, class Slots>
inline void AddValuesOfBatch(const Slots& values, size_t dim, Batch& batch, size_t n,
                             const float* corrections, Ahead ahead) {
  size_t r = 0;
  for (; r + kTileRows <= n; r += kTileRows) {
    AddValuesOfRows<V, kTileRows>(values, dim, batch.active + r, batch.scores + r, corrections + r,
                                  ahead);
  }
  for (; r + 2 <= n; r += 2) {
    AddValuesOfRows<V, 2>(values, dim, batch.active + r, batch.scores + r, corrections + r, ahead);
  }
  if (r < n) {
    AddValuesOfRows<V, 1>(values, dim, batch.active + r, batch.scores + r, corrections + r, ahead);
  }
}

// The slots that any of the n active rows sees.
inline uint32_t SeenByActive(const Batch& batch, size_t n) {
  uint32_t visible = 0;
  for (size_t r = 0; r < n; ++r) {
    visible |= batch.active[r]->visible;
  }
  return visible;
}

// f<k>(r) for rows r to r + k, k being kMost as long as there are so many, then less.
template <size_t kMost, class F>
inline void ForTiles(size_t n, const F& f, size_t r = 0) {
  for (; r + kMost <= n; r += kMost) {
    f.template operator()<kMost>(r);
  }
  if constexpr (kMost > 1) {
    ForTiles<kMost / 2>(n, f, r);
  }
}

// What is asked for ahead of a block.
struct BlockAhead {
  Ahead keys;
  Ahead values;

  BlockAhead() = default;
  BlockAhead(const AttentionArgs& args, uint32_t block) {
    if (args.f16.Has(block)) {
      keys = Ahead(args.f16.KeysOf(block), 0, kKvBlockTokens * args.head_dim_k * sizeof(uint16_t));
      values = Ahead(args.f16.ValuesOf(block), 0, kKvBlockTokens * args.f16.value_stride);
      return;
    }
    const std::byte* data = args.blocks[block];
    if (IsQuantized(args.type)) {
      const PanelBytes bytes(args);
      keys = Ahead(data, args.k_offset, bytes.keys);
      values = Ahead(data, args.v_offset, bytes.values);
      return;
    }
    keys = Ahead(data, args.k_offset, kKvBlockTokens * args.k_stride);
    if (args.v_offset < args.k_offset || args.v_offset >= args.k_offset + args.k_stride) {
      values = Ahead(data, args.v_offset, kKvBlockTokens * args.v_stride);
    }
  }

 private:
  struct PanelBytes {
    size_t keys;
    size_t values;

    explicit PanelBytes(const AttentionArgs& args) {
      using tensor::KvContent;
      const bool in_keys = args.values_in_keys;
      const KvContent content = in_keys ? KvContent::kLatents : KvContent::kKeys;
      keys = tensor::KvPanel{args.type, content, args.head_dim_k}.bytes();
      values =
          in_keys ? 0 : tensor::KvPanel{args.type, KvContent::kValues, args.head_dim_v}.bytes();
    }
  };
};

// The parts of a workspace, in floats.
struct Workspace {
  float* wide;    // a block's keys or values
  float* scales;  // of latents; and minima
  FactorRoom factors;

  explicit Workspace(const AttentionArgs& args) : wide(reinterpret_cast<float*>(args.workspace)) {
    const size_t dim = args.head_dim_k > args.head_dim_v ? args.head_dim_k : args.head_dim_v;
    scales = wide + kKvBlockTokens * WideStride(dim);
    factors.scaled = scales + 2 * ScaleRoom(args.head_dim_k);
    factors.factors = reinterpret_cast<int16_t*>(factors.scaled + WideStride(args.head_dim_k));
  }

  static size_t BytesOf(uint32_t head_dim_k, uint32_t head_dim_v) {
    const size_t dim = head_dim_k > head_dim_v ? head_dim_k : head_dim_v;
    const size_t n_floats = kKvBlockTokens * WideStride(dim) + 2 * ScaleRoom(head_dim_k);
    const size_t padded = WideStride(head_dim_k);
    return (n_floats + padded) * sizeof(float) + kTileRows * padded * sizeof(int16_t);
  }
};

// The products of the n active rows with keys, in batch.scores.
template <class V, class Slots>
inline void ScoreActive(const AttentionArgs& args, const Slots& keys, Batch& batch, size_t n,
                        Ahead ahead) {
  const uint32_t dim = args.head_dim_k;
  if (n <= kFewRows) {
    ScoreBatch<V>(keys, dim, batch, n, ahead);
  } else {
    ScoreBatch<V>(Widen<V>(keys, SeenByActive(batch, n), dim, Workspace(args).wide), dim, batch, n,
                  ahead);
  }
}
template <class V, bool kIsQ4>
inline void ScoreActive(const AttentionArgs& /*args*/, const PanelKeys<V, kIsQ4>& keys,
                        Batch& batch, size_t n, Ahead ahead) {
  static_assert(PanelKeys<V, kIsQ4>::kTileRows <= kTileRows);  // that the workspace has room for
  ForTiles<PanelKeys<V, kIsQ4>::kTileRows>(n, [&]<size_t kRows>(size_t r) {
    const float* q[kRows];
    for (size_t i = 0; i < kRows; ++i) {
      q[i] = batch.active[r + i]->q;
    }
    keys.template Score<kRows>(q, ahead, batch.scores + r);
  });
}

// Adds values to the n active rows by their weights.
template <class V, class Slots>
inline void AddToActive(const AttentionArgs& args, const Slots& values, Batch& batch, size_t n,
                        const float* corrections, Ahead ahead) {
  const uint32_t dim = args.head_dim_v;
  if (n <= kFewRows) {
    AddValuesOfBatch<V>(values, dim, batch, n, corrections, ahead);
  } else {
    AddValuesOfBatch<V>(Widen<V>(values, SeenByActive(batch, n), dim, Workspace(args).wide), dim,
                        batch, n, corrections, ahead);
  }
}
template <class V, bool kIsQ4>
inline void AddToActive(const AttentionArgs& /*args*/, const PanelValues<V, kIsQ4>& values,
                        Batch& batch, size_t n, const float* corrections, Ahead ahead) {
  ForTiles<PanelValues<V, kIsQ4>::kTileRows>(n, [&]<size_t kRows>(size_t r) {
    float* out[kRows];
    for (size_t i = 0; i < kRows; ++i) {
      out[i] = batch.active[r + i]->out;
    }
    values.template Add<kRows>(batch.scores + r, corrections + r, ahead, out);
  });
}

// Merges a block's keys and values into the n active rows.
template <class V, class Keys, class Values>
inline void MergeSlots(const AttentionArgs& args, const Keys& keys, const Values& values,
                       Batch& batch, size_t n, const BlockAhead& ahead) {
  ScoreActive<V>(args, keys, batch, n, ahead.keys);
  float corrections[kBatchRows];
  for (size_t r = 0; r < n; ++r) {
    corrections[r] = MergeScores<V>(args, batch.active[r], batch.scores[r]);
  }
  AddToActive<V>(args, values, batch, n, corrections, ahead.values);
}

template <class V, bool kIsQ4>
inline void MergePanels(const AttentionArgs& args, const std::byte* block, Batch& batch, size_t n,
                        const BlockAhead& ahead) {
  const Workspace work(args);
  const std::byte* keys = block + args.k_offset;
  if (args.values_in_keys) {
    const auto both = OpenLatents<V, kIsQ4>(keys, args.head_dim_k, work.scales);
    MergeSlots<V>(args, both, both, batch, n, ahead);
  } else {
    MergeSlots<V>(args, PanelKeys<V, kIsQ4>(keys, args.head_dim_k, work.factors),
                  PanelValues<V, kIsQ4>(block + args.v_offset, args.head_dim_v), batch, n, ahead);
  }
}

template <class V>
inline void MergeBlock(const AttentionArgs& args, uint32_t idx, Batch& batch, size_t n,
                       const BlockAhead& ahead) {
  const F16Blocks& f16 = args.f16;
  const bool is_f16 = f16.Has(idx);
  const std::byte* block = is_f16 ? nullptr : args.blocks[idx];
  switch (is_f16 ? tensor::KvType::kF16 : args.type) {
    case tensor::KvType::kQ8:
      return MergePanels<V, false>(args, block, batch, n, ahead);
    case tensor::KvType::kQ4:
      return MergePanels<V, true>(args, block, batch, n, ahead);
    case tensor::KvType::kBF16:
      return MergeSlots<V>(args, BF16Slots<V>{block + args.k_offset, args.k_stride},
                           BF16Slots<V>{block + args.v_offset, args.v_stride}, batch, n, ahead);
    case tensor::KvType::kF16:
      break;
  }
  const F16Slots<V> keys = {is_f16 ? f16.KeysOf(idx) : block + args.k_offset,
                            is_f16 ? args.head_dim_k * sizeof(uint16_t) : args.k_stride};
  const F16Slots<V> values = {is_f16 ? f16.ValuesOf(idx) : block + args.v_offset,
                              is_f16 ? f16.value_stride : args.v_stride};
  MergeSlots<V>(args, keys, values, batch, n, ahead);
}

template <class V>
inline void ScaleRow(float factor, uint32_t dim, float* out) {
  const V scale = V::Set(factor);
  uint32_t d = 0;
  for (; d + kStripes <= dim; d += kStripes) {
    (V::Load(out + d) * scale).Store(out + d);
  }
  if (d < dim) {
    (V::LoadPart(out + d, dim - d) * scale).StorePart(out + d, dim - d);
  }
}

// One more score, without a value. Returns the correction.
template <class V>
inline float MergeSink(float sink, Row* row) {
  const float max = row->max < sink ? sink : row->max;
  const float correction = Correction<V>(row->max, max);
  row->sum = __builtin_fmaf(row->sum, correction, ExpOf(V::Set(sink - max)).First());
  row->max = max;
  return correction;
}

// The sink, if there is one, and the division by the sum.
template <class V>
inline void FinishRow(const AttentionArgs& args, const float* sink, Row row) {
  if (sink != nullptr) {
    ScaleRow<V>(MergeSink<V>(*sink, &row), args.head_dim_v, row.out);
  }
  ScaleRow<V>(row.sum > 0 ? 1.0F / row.sum : 0.0F, args.head_dim_v, row.out);
}

// Some rows of one head.
struct Part {
  const AttentionArgs* args;
  size_t first;
  size_t n;
  Row* rows;

  [[nodiscard]] size_t TokenOf(size_t r) const { return (first + r) / args->n_group; }
  [[nodiscard]] size_t HeadOf(size_t r) const { return (first + r) % args->n_group; }
  [[nodiscard]] size_t FirstToken() const { return TokenOf(0); }
  [[nodiscard]] size_t LastToken() const { return TokenOf(n - 1); }
  // A row that has seen nothing yet.
  [[nodiscard]] Row RowAt(size_t r) const {
    float* out = args->out;  // null where only weights are asked for
    return {.q = args->q + TokenOf(r) * args->q_stride + HeadOf(r) * args->head_dim_k,
            .out = out == nullptr
                       ? nullptr
                       : out + TokenOf(r) * args->out_stride + HeadOf(r) * args->head_dim_v,
            .max = -__builtin_inff(),
            .sum = 0,
            .visible = 0};
  }
};

inline void BeginRows(const Part& part) {
  for (size_t r = 0; r < part.n; ++r) {
    part.rows[r] = part.RowAt(r);
    __builtin_memset(part.rows[r].out, 0, part.args->head_dim_v * sizeof(float));
  }
}

inline bool SeenByAny(const Part& part, uint32_t block) {
  for (size_t t = part.FirstToken(); t <= part.LastToken(); ++t) {
    if (SlotsOf(part.args->visible[t], block) != 0) {
      return true;
    }
  }
  return false;
}

// Finds the rows that see anything of a block; returns how many.
inline size_t Activate(const Part& part, uint32_t block, Batch& batch) {
  size_t n_active = 0;
  for (size_t r = 0; r < part.n; ++r) {
    Row& row = part.rows[r];
    row.visible = SlotsOf(part.args->visible[part.TokenOf(r)], block);
    if (row.visible != 0) {
      batch.active[n_active++] = &row;
    }
  }
  return n_active;
}

// What of a block of these rows is to be asked for, while something before it is computed.
inline BlockAhead AheadOf(const Part& part, uint32_t block, uint32_t end) {
  return block * kKvBlockTokens < end && SeenByAny(part, block) ? BlockAhead(*part.args, block)
                                                                : BlockAhead();
}

// These rows over all blocks that they see: of each block part by part, as it lies in memory.
template <class V>
inline void AttendParts(const Part* parts, size_t n_parts, Batch& batch) {
  uint32_t begin = ~0U;
  uint32_t end = 0;
  for (size_t i = 0; i < n_parts; ++i) {
    BeginRows(parts[i]);
    for (size_t t = parts[i].FirstToken(); t <= parts[i].LastToken(); ++t) {
      const VisibleSlots& visible = parts[i].args->visible[t];
      begin = visible.begin < begin ? visible.begin : begin;
      end = visible.end > end ? visible.end : end;
    }
  }
  for (uint32_t block = begin / kKvBlockTokens; block * kKvBlockTokens < end; ++block) {
    for (size_t i = 0; i < n_parts; ++i) {
      if (const size_t n_active = Activate(parts[i], block, batch); n_active > 0) {
        const bool is_last = i + 1 == n_parts;
        MergeBlock<V>(*parts[i].args, block, batch, n_active,
                      AheadOf(parts[is_last ? 0 : i + 1], is_last ? block + 1 : block, end));
      }
    }
  }
  for (size_t i = 0; i < n_parts; ++i) {
    const AttentionArgs& args = *parts[i].args;
    for (size_t r = 0; r < parts[i].n; ++r) {
      const float* sink = args.sinks == nullptr ? nullptr : args.sinks + parts[i].HeadOf(r);
      FinishRow<V>(args, sink, parts[i].rows[r]);
    }
  }
}

template <class V>
void AttentionOf(const AttentionArgs* heads, size_t n_heads) {
  Batch batch;
  Part parts[kBatchRows];
  size_t n_parts = 0;
  size_t n_rows = 0;
  for (size_t i = 0; i < n_heads; ++i) {
    const size_t of_head = size_t{heads[i].n_tokens} * heads[i].n_group;
    for (size_t first = 0; first < of_head;) {
      const size_t room = kBatchRows - n_rows;
      const size_t n = of_head - first < room ? of_head - first : room;
      parts[n_parts++] = {.args = heads + i, .first = first, .n = n, .rows = batch.rows + n_rows};
      first += n;
      n_rows += n;
      if (n_rows == kBatchRows) {
        AttendParts<V>(parts, n_parts, batch);
        n_parts = n_rows = 0;
      }
    }
  }
  if (n_parts > 0) {
    AttendParts<V>(parts, n_parts, batch);
  }
}

inline size_t AttentionWorkspaceBytesOf(uint32_t head_dim_k, uint32_t head_dim_v) {
  return Workspace::BytesOf(head_dim_k, head_dim_v);
}

}  // namespace
}  // namespace plimsoll::kernels
