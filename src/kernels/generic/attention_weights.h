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
  const Workspace work(args);
  switch (args.type) {
    case tensor::KvType::kQ8:
      return args.values_in_keys ? f(OpenLatents<V, false>(keys, dim, work.scales))
                                 : f(PanelKeys<V, false>(keys, dim, work.factors));
    case tensor::KvType::kQ4:
      return args.values_in_keys ? f(OpenLatents<V, true>(keys, dim, work.scales))
                                 : f(PanelKeys<V, true>(keys, dim, work.factors));
    case tensor::KvType::kBF16:
      return f(BF16Slots<V>{keys, args.k_stride});
    case tensor::KvType::kF16:
      break;
  }
  f(F16Slots<V>{keys, args.k_stride});
}

// f(block, row, its products with the block's keys) for every block and every row that sees
// anything of it; rows in ascending order.
template <class V, class F>
inline void ForEachScores(const Part& part, Batch& batch, const F& f) {
  const AttentionArgs& args = *part.args;
  uint32_t end = 0;
  for (size_t t = part.FirstToken(); t <= part.LastToken(); ++t) {
    end = args.visible[t].end > end ? args.visible[t].end : end;
  }
  for (uint32_t block = 0; block * kKvBlockTokens < end; ++block) {
    if (const size_t n_active = Activate(part, block, batch); n_active > 0) {
      WithKeys<V>(args, block,
                  [&](const auto& keys) { ScoreActive<V>(args, keys, batch, n_active, Ahead()); });
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
  const Part part = {.args = &args, .first = first, .n = n, .rows = batch.rows};
  for (size_t r = 0; r < n; ++r) {
    batch.rows[r] = part.RowAt(r);
  }
  ForEachScores<V>(part, batch, [&](uint32_t /*block*/, Row* row, float* scores) {
    MergeScores<V>(args, row, scores);
  });
  for (size_t r = 0; args.sinks != nullptr && r < n; ++r) {
    MergeSink<V>(args.sinks[part.HeadOf(r)], &batch.rows[r]);
  }
  ForEachScores<V>(part, batch, [&](uint32_t block, const Row* row, float* scores) {
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
