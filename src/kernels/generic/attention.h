// Attention of one token over one KV head, over the F32x16 `V` of an instruction set.
//
// Up to four query heads are taken together, so that a key or value is widened once for all. Scores
// come sixteen at a time (heads x keys), folded together; values accumulate with dimensions as
// lanes, in `out` itself. The order of operations within one head is that of docs/numerics.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/exp.h"
#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

constexpr uint32_t kDims = 16;        // dimensions per vector
constexpr uint32_t kHeadsBatch = 16;  // heads whose state is kept while the blocks go by

// Bit i: slot i of the block is visible.
inline uint32_t VisibleSlots(const AttentionArgs& args, uint32_t block) {
  const uint32_t first = block * kKvBlockTokens;
  uint32_t visible = args.mask == nullptr ? ~0U : args.mask[block];
  if (args.begin > first) {
    visible &= ~0U << (args.begin - first);
  }
  if (args.end - first < kKvBlockTokens) {
    visible &= ~(~0U << (args.end - first));
  }
  return visible;
}

// sums[h * stride + k] = the stripes of query h with key k.
template <class V, size_t kHeads, size_t kKeys>
inline void DotTile(const float* q, const std::byte* keys, size_t key_stride, uint32_t dim, V* sums,
                    size_t stride) {
  V acc[kHeads][kKeys];
  for (auto& of_head : acc) {
    for (V& v : of_head) {
      v = V::Zero();
    }
  }
  uint32_t d = 0;
  for (; d + kDims <= dim; d += kDims) {
    V key[kKeys];
    for (size_t k = 0; k < kKeys; ++k) {
      key[k] = V::LoadF16(keys + k * key_stride + d * sizeof(uint16_t));
    }
    for (size_t h = 0; h < kHeads; ++h) {
      const V query = V::Load(q + h * dim + d);
      for (size_t k = 0; k < kKeys; ++k) {
        acc[h][k] = Fma(query, key[k], acc[h][k]);
      }
    }
  }
  if (const uint32_t n = dim - d; n > 0) {
    for (size_t k = 0; k < kKeys; ++k) {
      const V key = V::LoadF16Part(keys + k * key_stride + d * sizeof(uint16_t), n);
      for (size_t h = 0; h < kHeads; ++h) {
        const V query = V::LoadPart(q + h * dim + d, n);
        acc[h][k] = FmaPart(query, key, acc[h][k], n);
      }
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t k = 0; k < kKeys; ++k) {
      sums[h * stride + k] = acc[h][k];
    }
  }
}

// scores[h * 32 + i] = q_h . key_i, for the 16 / kHeads keys from the first one on.
template <class V, size_t kHeads>
inline void ScoreTile(const float* q, const std::byte* keys, size_t key_stride, uint32_t dim,
                      float* scores) {
  constexpr size_t kKeys = 16 / kHeads;
  // As much of the tile as the registers hold.
  constexpr size_t kPartHeads = V::kAccumulators >= 16 ? kHeads : (kHeads > 2 ? 2 : kHeads);
  constexpr size_t kPartKeys = (V::kAccumulators >= 16 ? 16 : V::kAccumulators) / kPartHeads;
  V sums[16];
  for (size_t h = 0; h < kHeads; h += kPartHeads) {
    for (size_t k = 0; k < kKeys; k += kPartKeys) {
      DotTile<V, kPartHeads, kPartKeys>(q + h * dim, keys + k * key_stride, key_stride, dim,
                                        sums + h * kKeys + k, kKeys);
    }
  }
  alignas(64) float totals[16];
  TreeSums16(sums).Store(totals);
  for (size_t h = 0; h < kHeads; ++h) {
    __builtin_memcpy(scores + h * kKvBlockTokens, totals + h * kKeys, kKeys * sizeof(float));
  }
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

// The running softmax of one head.
struct HeadState {
  float max;
  float sum;
};

// exp(before - after), by which everything merged so far is scaled.
template <class V>
inline float Correction(float before, float after) {
  return ExpOf(V::Set(before - after)).First();
}

// Turns the dot products of one head with a block's 32 keys into p, in place, and merges them into
// the state. Returns the correction.
template <class V>
inline float MergeScores(const AttentionArgs& args, uint32_t visible, float* scores,
                         HeadState* state) {
  const V hidden = V::Set(-__builtin_inff());  // whose p is +0
  const V low = Select(visible & 0xFFFFU, FinishScores(args, V::Load(scores)), hidden);
  const V high = Select(visible >> 16, FinishScores(args, V::Load(scores + 16)), hidden);
  const float block_max = MaxOf(Max(low, high));
  const float max = state->max < block_max ? block_max : state->max;
  const float correction = Correction<V>(state->max, max);
  const V p_low = ExpOf(low - V::Set(max));
  const V p_high = ExpOf(high - V::Set(max));
  p_low.Store(scores);
  p_high.Store(scores + 16);
  state->sum = __builtin_fmaf(state->sum, correction, TreeSum(p_low + p_high));
  state->max = max;
  return correction;
}

// out_h = out_h * correction_h + sum over visible slots of p_h * value, for kChunks vectors of
// dimensions; if kPart, for the first n dimensions of one.
template <class V, size_t kHeads, size_t kChunks, bool kPart>
inline void ValueTile(const std::byte* values, size_t value_stride, uint32_t dim, uint32_t visible,
                      const float* p, const float* corrections, float* out, uint32_t n) {
  V acc[kHeads][kChunks];
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t c = 0; c < kChunks; ++c) {
      const float* at = out + h * dim + c * kDims;
      acc[h][c] = (kPart ? V::LoadPart(at, n) : V::Load(at)) * V::Set(corrections[h]);
    }
  }
  for (uint32_t bits = visible; bits != 0; bits &= bits - 1) {
    const auto slot = static_cast<uint32_t>(__builtin_ctz(bits));
    const std::byte* row = values + slot * value_stride;
    for (size_t c = 0; c < kChunks; ++c) {
      const std::byte* at = row + c * kDims * sizeof(uint16_t);
      const V value = kPart ? V::LoadF16Part(at, n) : V::LoadF16(at);
      for (size_t h = 0; h < kHeads; ++h) {
        const float weight = p[h * kKvBlockTokens + slot];
        acc[h][c] = Fma(V::Set(weight), value, acc[h][c]);
      }
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t c = 0; c < kChunks; ++c) {
      float* at = out + h * dim + c * kDims;
      if (kPart) {
        acc[h][c].StorePart(at, n);
      } else {
        acc[h][c].Store(at);
      }
    }
  }
}

// All dimensions from d on, in tiles of kChunks vectors and then of fewer.
template <class V, size_t kHeads, size_t kChunks>
inline void AddValues(const std::byte* values, size_t value_stride, uint32_t dim, uint32_t visible,
                      const float* p, const float* corrections, float* out, uint32_t d) {
  for (; d + kChunks * kDims <= dim; d += kChunks * kDims) {
    ValueTile<V, kHeads, kChunks, false>(values + size_t{d} * sizeof(uint16_t), value_stride, dim,
                                         visible, p, corrections, out + d, 0);
  }
  if constexpr (kChunks > 1) {
    AddValues<V, kHeads, kChunks / 2>(values, value_stride, dim, visible, p, corrections, out, d);
  } else if (d < dim) {
    ValueTile<V, kHeads, 1, true>(values + size_t{d} * sizeof(uint16_t), value_stride, dim, visible,
                                  p, corrections, out + d, dim - d);
  }
}

// Merges one block into kHeads heads from head h on.
template <class V, size_t kHeads>
inline void MergeBlock(const AttentionArgs& args, uint32_t block, uint32_t visible, uint32_t h,
                       HeadState* states) {
  constexpr uint32_t kTileKeys = 16 / kHeads;
  const std::byte* keys = args.blocks[block] + args.k_offset;
  const float* q = args.q + size_t{h} * args.head_dim_k;
  alignas(64) float scores[kHeads * kKvBlockTokens] = {};
  for (uint32_t i = 0; i < kKvBlockTokens; i += kTileKeys) {
    if (((visible >> i) & ((1U << kTileKeys) - 1)) != 0) {
      ScoreTile<V, kHeads>(q, keys + i * args.k_stride, args.k_stride, args.head_dim_k, scores + i);
    }
  }
  float corrections[kHeads];
  for (size_t i = 0; i < kHeads; ++i) {
    corrections[i] = MergeScores<V>(args, visible, scores + i * kKvBlockTokens, states + i);
  }
  constexpr size_t kChunks = (V::kAccumulators >= 16 ? 16 : V::kAccumulators) / kHeads;
  AddValues<V, kHeads, (kChunks > 8 ? 8 : kChunks)>(
      args.blocks[block] + args.v_offset, args.v_stride, args.head_dim_v, visible, scores,
      corrections, args.out + size_t{h} * args.head_dim_v, 0);
}

template <class V>
inline void ScaleHead(float factor, uint32_t dim, float* out) {
  const V scale = V::Set(factor);
  uint32_t d = 0;
  for (; d + kDims <= dim; d += kDims) {
    (V::Load(out + d) * scale).Store(out + d);
  }
  if (d < dim) {
    (V::LoadPart(out + d, dim - d) * scale).StorePart(out + d, dim - d);
  }
}

// The sink, if there is one, and the division by the sum.
template <class V>
inline void FinishHead(const AttentionArgs& args, uint32_t h, HeadState state) {
  float* out = args.out + size_t{h} * args.head_dim_v;
  if (args.sinks != nullptr) {
    const float sink = args.sinks[h];
    const float max = state.max < sink ? sink : state.max;
    const float correction = Correction<V>(state.max, max);
    state.sum = __builtin_fmaf(state.sum, correction, ExpOf(V::Set(sink - max)).First());
    ScaleHead<V>(correction, args.head_dim_v, out);
  }
  ScaleHead<V>(state.sum > 0 ? 1.0F / state.sum : 0.0F, args.head_dim_v, out);
}

// Heads [first, first + n), n <= kHeadsBatch, over all blocks.
template <class V>
inline void AttendHeads(const AttentionArgs& args, uint32_t first, uint32_t n) {
  HeadState states[kHeadsBatch];
  for (uint32_t h = 0; h < n; ++h) {
    states[h] = {-__builtin_inff(), 0};
  }
  __builtin_memset(args.out + size_t{first} * args.head_dim_v, 0,
                   size_t{n} * args.head_dim_v * sizeof(float));
  for (uint32_t block = args.begin / kKvBlockTokens; block * kKvBlockTokens < args.end; ++block) {
    const uint32_t visible = VisibleSlots(args, block);
    if (visible == 0) {
      continue;
    }
    uint32_t h = 0;
    for (; h + 4 <= n; h += 4) {
      MergeBlock<V, 4>(args, block, visible, first + h, states + h);
    }
    if (n - h >= 2) {
      MergeBlock<V, 2>(args, block, visible, first + h, states + h);
      h += 2;
    }
    if (h < n) {
      MergeBlock<V, 1>(args, block, visible, first + h, states + h);
    }
  }
  for (uint32_t h = 0; h < n; ++h) {
    FinishHead<V>(args, first + h, states[h]);
  }
}

template <class V>
void AttentionOf(const AttentionArgs& args) {
  for (uint32_t h = 0; h < args.n_group; h += kHeadsBatch) {
    const uint32_t left = args.n_group - h;
    AttendHeads<V>(args, h, left < kHeadsBatch ? left : kHeadsBatch);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
