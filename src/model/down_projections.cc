// The last part of the feed-forward piece: the experts' down projections and their combination,
// routed experts by ascending id and then the shared one.
#include <algorithm>

#include "base/checked.h"
#include "model/expert_tasks.h"
#include "model/layer_pieces.h"
#include "model/products.h"

namespace plimsoll::model {

// A task owns some rows of the output for every token, so it can combine the experts by itself:
// waves come in the order of the experts.
void LayerPieces::RunDownByRows(const FeedForwardWeights& weights, const Wave& wave) {
  Scratch& s = step_.scratch;
  const Routing& routing = s.routing;
  const uint64_t d = step_.hp.hidden_dim;

  step_.team.Run(CeilDiv(d, kDownRows), [&](size_t task, size_t thread) {
    const RowRange rows = TaskRows(task, kDownRows, d);
    const uint64_t n_rows = rows.last - rows.first;
    const ThreadScratch& own = s.threads[thread];
    float* const tile = own.tile.data();  // [n][n_rows]
    for (size_t i = 0; wave.is_first && i < step_.n(); ++i) {
      std::fill_n(s.branch.data() + i * d + rows.first, n_rows, 0.0F);
    }
    for (const uint32_t a : wave.experts) {
      const tensor::Matrix& down = routing.matrices[a].down;
      const Vector bias = BiasOf(weights.down_bias, routing.active[a], d);
      const uint32_t begin = routing.active_begin[a];
      const size_t n = routing.active_begin[a + 1] - begin;
      step_.kernels.matmul(down, rows.first, rows.last, s.packed_ff.For(down.dtype, begin, n), tile,
                           n_rows, own.workspace);
      for (size_t i = 0; i < n; ++i) {
        AddBias(step_, bias, rows, tile + i * n_rows);
        step_.kernels.axpy(routing.pair_weight[begin + i], tile + i * n_rows, n_rows,
                           s.branch.data() + routing.pair_token[begin + i] * d + rows.first);
      }
    }
    if (!weights.shared.gate.empty() && wave.is_last) {
      const tensor::Matrix down = weights.shared.down[0];
      step_.kernels.matmul(down, rows.first, rows.last,
                           s.packed_shared.For(down.dtype, 0, step_.n()), tile, n_rows,
                           own.workspace);
      for (size_t i = 0; i < step_.n(); ++i) {
        step_.kernels.axpy(s.shared_scale[i], tile + i * n_rows, n_rows,
                           s.branch.data() + i * d + rows.first);
      }
    }
  });
}

// With few tokens memory is the limit, and it is fastest where a thread reads on and on: the tasks
// go through one expert after another, and whoever makes the last part of some rows combines them.
void LayerPieces::RunDownByExpert(const FeedForwardWeights& weights, const Wave& wave) {
  Scratch& s = step_.scratch;
  const Routing& routing = s.routing;
  const uint64_t d = step_.hp.hidden_dim;
  const bool has_shared = !weights.shared.gate.empty();
  const size_t n_parts = routing.n_active + (has_shared ? 1 : 0);  // of all waves
  const size_t n_routed = wave.experts.size();
  const size_t n_shared = has_shared && wave.is_first ? 1 : 0;
  // The same in all waves, for they count the parts of each run together.
  const bool is_only = wave.is_first && wave.is_last;
  const tensor::Matrix& some =
      n_routed == 0 ? weights.shared.down.first : routing.matrices[wave.experts[0]].down;
  const uint64_t rows_per_task =
      is_only ? ExpertRowsPerTask(step_, some, n_parts, kDownRows)
              : AlignUp(CeilDiv(d, step_.team.n_threads() * kTasksPerThread), kDownRows);
  const size_t n_runs = CeilDiv(d, rows_per_task);

  step_.team.Run((n_routed + n_shared) * n_runs, [&](size_t task, size_t thread) {
    const size_t i_part = task / n_runs;
    const size_t run = task % n_runs;
    const RowRange rows = TaskRows(run, rows_per_task, d);
    std::byte* workspace = s.threads[thread].workspace;
    if (i_part < n_routed) {
      const uint32_t a = wave.experts[i_part];
      const tensor::Matrix& down = routing.matrices[a].down;
      const uint32_t begin = routing.active_begin[a];
      const size_t n = routing.active_begin[a + 1] - begin;
      float* out = s.expert_out.data() + begin * d + rows.first;
      step_.kernels.matmul(down, rows.first, rows.last, s.packed_ff.For(down.dtype, begin, n), out,
                           d, workspace);
      for (size_t i = 0; i < n; ++i) {
        AddBias(step_, BiasOf(weights.down_bias, routing.active[a], d), rows, out + i * d);
      }
    } else {
      const tensor::Matrix down = weights.shared.down[0];
      step_.kernels.matmul(down, rows.first, rows.last,
                           s.packed_shared.For(down.dtype, 0, step_.n()),
                           s.shared_out.data() + rows.first, d, workspace);
    }
    if (IsLast(s.down_done[run], static_cast<uint32_t>(n_parts))) {
      CombineExperts(rows, has_shared);
    }
  });
}

void LayerPieces::CombineExperts(RowRange rows, bool has_shared) {
  Scratch& s = step_.scratch;
  const Routing& routing = s.routing;
  const uint64_t d = step_.hp.hidden_dim;
  const uint64_t n_rows = rows.last - rows.first;
  for (size_t i = 0; i < step_.n(); ++i) {
    std::fill_n(s.branch.data() + i * d + rows.first, n_rows, 0.0F);
  }
  // Pairs are ordered by expert, so each token's come in ascending order.
  for (size_t pair = 0; pair < routing.active_begin[routing.n_active]; ++pair) {
    step_.kernels.axpy(routing.pair_weight[pair], s.expert_out.data() + pair * d + rows.first,
                       n_rows, s.branch.data() + routing.pair_token[pair] * d + rows.first);
  }
  for (size_t i = 0; has_shared && i < step_.n(); ++i) {
    step_.kernels.axpy(s.shared_scale[i], s.shared_out.data() + i * d + rows.first, n_rows,
                       s.branch.data() + i * d + rows.first);
  }
}

}  // namespace plimsoll::model
