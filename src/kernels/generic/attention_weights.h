// The weights that attention gives to the slots of a sequence, without its values, over the F32x16
// `V` of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/attention.h"

namespace plimsoll::kernels {
namespace {

// Calls f(slots) with the keys of a block as they lie.
template <class V, class F>
inline void WithKeys(const AttentionArgs& args, uint32_t idx, const F& f) {
  const uint32_t dim = args.head_dim_k;
  if (args.f16.Has(idx)) {
    return f(F16Slots<V>{args.f16.KeysOf(idx), dim * sizeof(uint16_t)});
  }
  const std::byte* keys = args.blocks[idx] + args.k_offset;
  float* room = Workspace(args).key_scales;
  switch (args.type) {
    case tensor::KvType::kQ8:
      return args.values_in_keys ? f(OpenPanel<V, false, true>(keys, dim, room))
                                 : f(OpenPanel<V, false, false>(keys, dim, room));
    case tensor::KvType::kQ4:
      return args.values_in_keys ? f(OpenPanel<V, true, true>(keys, dim, room))
                                 : f(OpenPanel<V, true, false>(keys, dim, room));
    case tensor::KvType::kBF16:
      return f(BF16Slots<V>{keys, args.k_stride});
    case tensor::KvType::kF16:
      break;
  }
  f(F16Slots<V>{keys, args.k_stride});
}

// The products of the n active rows with a block's keys, in batch.scores.
template <class V>
inline void ScoreBlock(const AttentionArgs& args, uint32_t idx, Batch& batch, size_t n) {
  uint32_t visible = 0;
  for (size_t r = 0; r < n; ++r) {
    visible |= batch.active[r]->visible;
  }
  WithKeys<V>(args, idx, [&](const auto& keys) {
    if (n <= kFewRows) {
      ScoreBatch<V>(keys, args.head_dim_k, batch, n, Ahead());
    } else {
      ScoreBatch<V>(Widen<V>(keys, visible, args.head_dim_k, Workspace(args).wide), args.head_dim_k,
                    batch, n, Ahead());
    }
  });
}

// f(block, row, its products with the block's keys) for every block and every row that sees
// anything of it; rows in ascending order.
template <class V, class F>
inline void ForEachScores(const AttentionArgs& args, size_t first, size_t n, Batch& batch,
                          const F& f) {
  uint32_t end = 0;
  for (size_t t = first / args.n_group; t <= (first + n - 1) / args.n_group; ++t) {
    end = args.visible[t].end > end ? args.visible[t].end : end;
  }
  for (uint32_t block = 0; block * kKvBlockTokens < end; ++block) {
    if (const size_t n_active = Activate(args, first, n, block, batch); n_active > 0) {
      ScoreBlock<V>(args, block, batch, n_active);
      for (size_t r = 0; r < n_active; ++r) {
        f(block, batch.active[r], batch.scores[r]);
      }
    }
  }
}

// Adds the weights of one row over a block whose products with it are `scores`.
template <class V>
inline void AddWeights(const AttentionArgs& args, const Row& row, const float* scores,
                       float* sums) {
  const V hidden = V::Set(-__builtin_inff());  // whose weight is +0
  const V max = V::Set(row.max);
  const V inverse = V::Set(row.sum > 0 ? 1.0F / row.sum : 0.0F);
  for (uint32_t i = 0; i < kKvBlockTokens; i += kStripes) {
    const V score =
        Select((row.visible >> i) & 0xFFFFU, FinishScores(args, V::Load(scores + i)), hidden);
    (V::Load(sums + i) + ExpOf(score - max) * inverse).Store(sums + i);
  }
}

// Rows [first, first + n), n <= kBatchRows. The products are made twice: keeping them would take
// memory that grows with the context.
template <class V>
inline void WeighRows(const AttentionArgs& args, size_t first, size_t n, float* sums) {
  Batch batch;
  for (size_t r = 0; r < n; ++r) {
    const size_t token = (first + r) / args.n_group;
    const size_t head = (first + r) % args.n_group;
    batch.rows[r] = {.q = args.q + token * args.q_stride + head * args.head_dim_k,
                     .out = nullptr,
                     .max = -__builtin_inff(),
                     .sum = 0,
                     .visible = 0};
  }
  ForEachScores<V>(args, first, n, batch, [&](uint32_t /*block*/, Row* row, float* scores) {
    MergeScores<V>(args, row, scores);
  });
  for (size_t r = 0; args.sinks != nullptr && r < n; ++r) {
    MergeSink<V>(args.sinks[(first + r) % args.n_group], &batch.rows[r]);
  }
  ForEachScores<V>(args, first, n, batch, [&](uint32_t block, const Row* row, float* scores) {
    AddWeights<V>(args, *row, scores, sums + size_t{block} * kKvBlockTokens);
  });
}

template <class V>
void AttentionWeightsOf(const AttentionArgs& args, float* sums) {
  const size_t n_rows = size_t{args.n_tokens} * args.n_group;
  for (size_t r = 0; r < n_rows; r += kBatchRows) {
    WeighRows<V>(args, r, n_rows - r < kBatchRows ? n_rows - r : kBatchRows, sums);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
