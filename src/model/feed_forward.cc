// The feed-forward piece: experts, the shared expert, and their combination.
#include <algorithm>

#include "base/checked.h"
#include "model/layer_pieces.h"
#include "model/products.h"

namespace plimsoll::model {
namespace {

// One expert's part of a stage: the rows of its matrices that a task makes.
struct RowRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

RowRange TaskRows(size_t chunk, uint64_t rows_per_task, uint64_t rows) {
  const uint64_t first = chunk * rows_per_task;
  return {first, std::min(first + rows_per_task, rows)};
}

// What one expert of a stack adds to its results; nothing where the model has no such biases.
Vector BiasOf(Vector biases, uint64_t expert, uint64_t length) {
  return biases.empty() ? Vector() : biases.subspan(expert * length, length);
}

void AddBias(const Step& step, Vector bias, RowRange rows, float* y) {
  if (!bias.empty()) {
    step.kernels.add(bias.data() + rows.first, rows.last - rows.first, y);
  }
}

// Rows of the down projections that a task makes: with few tokens many, because where a task goes
// on to the next expert's rows, nothing has been prefetched. `fits`: what the tile has room for.
uint64_t DownRowsPerTask(uint64_t rows, size_t n_threads, uint64_t fits) {
  constexpr uint64_t kMost = uint64_t{4} * kDownRows;
  const uint64_t even = AlignUp<uint64_t>(CeilDiv(rows, kTasksPerThread * n_threads), kDownRows);
  return std::min({even, fits / kDownRows * kDownRows, kMost});
}

// One expert's biases, and gate = activation(gate, up), for the rows that the task made.
void Activate(const Step& step, Vector gate_bias, Vector up_bias, float* gate, float* up,
              size_t n_rows, size_t stride, RowRange rows) {
  const uint64_t n = rows.last - rows.first;
  for (size_t i = 0; i < n_rows; ++i) {
    float* g = gate + i * stride + rows.first;
    float* u = up + i * stride + rows.first;
    AddBias(step, gate_bias, rows, g);
    AddBias(step, up_bias, rows, u);
    if (step.hp.activation == Activation::kSwiglu) {
      step.kernels.silu_mul(g, u, n, g);
    } else {
      step.kernels.swiglu_clamped(g, u, step.hp.swiglu_alpha, step.hp.swiglu_limit, n, g);
    }
  }
}

}  // namespace

void LayerPieces::FeedForward(const FeedForwardWeights& weights) {
  Route(weights);
  RunGateUp(weights);
  RunDown(weights);
  branch_pending_ = true;
}

// One task list over all active experts and, last, the shared one.
void LayerPieces::RunGateUp(const FeedForwardWeights& weights) {
  Scratch& s = step_.scratch;
  const LayerParams& p = params();
  const Routing& routing = s.routing;
  const size_t n_threads = step_.team.n_threads();
  const uint64_t all_rows = routing.n_active * p.expert_ff_dim;
  const uint64_t rows_per_task =
      std::min(RowsPerTask(all_rows, 2 * weights.gate.first.row_bytes(), n_threads),
               AlignUp<uint64_t>(p.expert_ff_dim, tensor::kRowsPerGroup));
  const size_t chunks = CeilDiv(p.expert_ff_dim, rows_per_task);
  const size_t routed_tasks = routing.n_active * chunks;
  const uint64_t shared_rows_per_task =
      p.shared_ff_dim == 0
          ? 1
          : RowsPerTask(p.shared_ff_dim, 2 * weights.shared.gate.first.row_bytes(), n_threads);
  const size_t shared_tasks = CeilDiv(p.shared_ff_dim, shared_rows_per_task);

  const auto project = [&](const tensor::Matrix& gate, const tensor::Matrix& up, Vector gate_bias,
                           Vector up_bias, size_t n, const uint32_t* row_idx, RowRange rows,
                           float* gate_out, float* up_out, std::byte* workspace) {
    step_.kernels.matmul(gate, rows.first, rows.last, s.packed_in.For(gate.dtype, 0, n, row_idx),
                         gate_out + rows.first, gate.rows, workspace);
    step_.kernels.matmul(up, rows.first, rows.last, s.packed_in.For(up.dtype, 0, n, row_idx),
                         up_out + rows.first, up.rows, workspace);
    Activate(step_, gate_bias, up_bias, gate_out, up_out, n, gate.rows, rows);
  };
  step_.team.Run(routed_tasks + shared_tasks, [&](size_t task, size_t thread) {
    std::byte* workspace = s.threads[thread].workspace;
    if (task >= routed_tasks) {
      project(weights.shared.gate[0], weights.shared.up[0], {}, {}, step_.n(), nullptr,
              TaskRows(task - routed_tasks, shared_rows_per_task, p.shared_ff_dim),
              s.shared_gate.data(), s.shared_up.data(), workspace);
      return;
    }
    const size_t a = task / chunks;
    const uint32_t begin = routing.active_begin[a];
    const uint64_t out = uint64_t{begin} * p.expert_ff_dim;
    const uint32_t expert = routing.active[a];
    project(weights.gate[expert], weights.up[expert],
            BiasOf(weights.gate_bias, expert, p.expert_ff_dim),
            BiasOf(weights.up_bias, expert, p.expert_ff_dim), routing.active_begin[a + 1] - begin,
            routing.pair_token.data() + begin,
            TaskRows(task % chunks, rows_per_task, p.expert_ff_dim), s.gate.data() + out,
            s.up.data() + out, workspace);
  });

  // Pack what the down projections read.
  const size_t n_pairs = routing.active_begin[routing.n_active];
  s.packed_ff.floats = s.gate.data();
  s.packed_ff.k = p.expert_ff_dim;
  s.packed_shared.floats = s.shared_gate.data();
  s.packed_shared.k = p.shared_ff_dim;
  const size_t n_shared = p.shared_ff_dim == 0 ? 0 : step_.n();
  const auto pack = [&](size_t i, size_t /*thread*/) {
    if (i < n_pairs) {
      s.packed_ff.Pack(step_.kernels, i);
    } else {
      s.packed_shared.Pack(step_.kernels, i - n_pairs);
    }
  };
  if (step_.n() == 1) {
    for (size_t i = 0; i < n_pairs + n_shared; ++i) {
      pack(i, 0);
    }
  } else {
    step_.team.Run(n_pairs + n_shared, pack);
  }
}

// A task owns some rows of the output for every token, so it can combine the experts by itself, in
// ascending order and without another stage.
void LayerPieces::RunDown(const FeedForwardWeights& weights) {
  Scratch& s = step_.scratch;
  const LayerParams& p = params();
  const Routing& routing = s.routing;
  const uint64_t d = step_.hp.hidden_dim;
  ScaleSharedExpert(weights.shared);

  const uint64_t rows_per_task =
      DownRowsPerTask(d, step_.team.n_threads(), s.threads.front().tile.size() / step_.n());
  step_.team.Run(CeilDiv(d, rows_per_task), [&](size_t task, size_t thread) {
    const RowRange rows = TaskRows(task, rows_per_task, d);
    const uint64_t n_rows = rows.last - rows.first;
    const ThreadScratch& own = s.threads[thread];
    float* const tile = own.tile.data();  // [n][n_rows]
    for (size_t i = 0; i < step_.n(); ++i) {
      std::fill_n(s.branch.data() + i * d + rows.first, n_rows, 0.0F);
    }
    for (size_t a = 0; a < routing.n_active; ++a) {
      const tensor::Matrix down = weights.down[routing.active[a]];
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
    if (p.shared_ff_dim != 0) {
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

void LayerPieces::ScaleSharedExpert(const SharedExpertWeights& weights) {
  Scratch& s = step_.scratch;
  if (params().shared_ff_dim == 0) {
    return;
  }
  if (weights.router.empty()) {
    std::fill_n(s.shared_scale.begin(), step_.n(), 1.0F);
    return;
  }
  const Product product = {weights.router, s.packed_in.For(weights.router.dtype, 0, step_.n()),
                           s.shared_scale.data(), 1};
  RunProducts(step_, {&product, 1});
  step_.kernels.sigmoid(s.shared_scale.data(), step_.n());
}

}  // namespace plimsoll::model
