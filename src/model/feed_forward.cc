// The feed-forward piece: experts and the shared expert.
#include <algorithm>

#include "base/checked.h"
#include "model/expert_tasks.h"
#include "model/layer_pieces.h"
#include "model/paged_experts.h"
#include "model/products.h"

namespace plimsoll::model {
namespace {

// One expert and its tokens, whose results are rows [first_out, first_out + n).
struct ExpertWork {
  tensor::Matrix gate, up;
  Vector gate_bias, up_bias;
  Vector input_weights;  // one a token; empty: 1
  size_t n;
  const uint32_t* tokens;  // null: all of the step's
  size_t first_out;
};

// The gate and up projections of some experts, cut into runs of rows. An expert's tasks are first
// the runs of gate, then those of up, so that a thread which takes one after another reads on in
// memory. Whoever finishes the second task of a run applies the activation and packs what the down
// projections read.
struct GateUp {
  const Step& step;
  size_t n_experts;
  uint64_t rows;  // of a projection
  uint64_t rows_per_task;
  float* gate;  // [outputs][rows]
  float* up;
  const PackedRows& packed;    // of gate
  std::span<uint32_t> n_done;  // [n_experts][n_runs()]

  [[nodiscard]] size_t n_runs() const { return CeilDiv(rows, rows_per_task); }
  [[nodiscard]] size_t n_tasks() const { return 2 * n_experts * n_runs(); }
  [[nodiscard]] size_t ExpertOf(size_t task) const { return task / (2 * n_runs()); }

  void Run(size_t task, const ExpertWork& work, std::byte* workspace) const {
    const size_t run = task % n_runs();
    const bool is_up = task / n_runs() % 2 == 1;
    const RowRange range = TaskRows(run, rows_per_task, rows);
    const tensor::Matrix& w = is_up ? work.up : work.gate;
    float* const out = (is_up ? up : gate) + work.first_out * rows + range.first;
    step.kernels.matmul(w, range.first, range.last,
                        step.scratch.packed_in.For(w.dtype, 0, work.n, work.tokens), out, rows,
                        workspace);
    if (IsLast(n_done[ExpertOf(task) * n_runs() + run], 2)) {
      Finish(work, range);
    }
  }

 private:
  void Finish(const ExpertWork& work, RowRange range) const {
    const uint64_t n = range.last - range.first;
    for (size_t i = work.first_out; i < work.first_out + work.n; ++i) {
      float* g = gate + i * rows + range.first;
      float* u = up + i * rows + range.first;
      if (!work.input_weights.empty()) {
        const float weight = work.input_weights[i - work.first_out];
        std::for_each(g, g + n, [weight](float& value) { value *= weight; });
        std::for_each(u, u + n, [weight](float& value) { value *= weight; });
      }
      AddBias(step, work.gate_bias, range, g);
      AddBias(step, work.up_bias, range, u);
      Activate(g, u, n);
      packed.PackPart(step.kernels, i, range.first, range.last);
    }
  }

  void Activate(float* g, const float* u, uint64_t n) const {
    switch (step.hp.activation) {
      case Activation::kSwiglu:
        step.kernels.silu_mul(g, u, n, g);
        break;
      case Activation::kSwigluClamped:
        step.kernels.swiglu_clamped(g, u, step.hp.swiglu_alpha, step.hp.swiglu_limit, n, g);
        break;
      case Activation::kGelu:
        step.kernels.gelu_mul(g, u, n, g);
        break;
    }
  }
};

}  // namespace

void LayerPieces::FeedForward(const FeedForwardWeights& weights) {
  Route(weights);
  Experts(weights);
}

void LayerPieces::Experts(const FeedForwardWeights& weights) {
  if (error_) {
    return;
  }
  ScaleSharedExpert(weights.shared);
  if (step_.experts != nullptr && params().is_moe() && HasRouted(weights)) {
    RunPagedExperts(weights);
  } else {
    RunResidentExperts(weights);
  }
  branch_pending_ = true;
}

// A dense layer's one expert may be streamed.
void LayerPieces::RunResidentExperts(const FeedForwardWeights& weights) {
  const Routing& routing = step_.scratch.routing;
  const Wave wave = {.experts = routing.in_order.first(routing.n_active)};
  if (params().is_moe() || step_.streamed == nullptr) {
    SetResidentMatrices(weights);
    RunWave(weights, wave);
    return;
  }
  if (Use({&weights.gate.first, &weights.up.first, &weights.gate_up.first})) {
    SetResidentMatrices(weights);
    RunGateUp(weights, wave);
  }
  if (Use({&weights.down.first})) {
    SetResidentMatrices(weights);
    RunDown(weights, wave);
  }
}

void LayerPieces::SetResidentMatrices(const FeedForwardWeights& weights) {
  const Routing& routing = step_.scratch.routing;
  for (size_t a = 0; a < routing.n_active; ++a) {
    const uint32_t expert = routing.active[a];
    const tensor::Matrix down = weights.down[expert];
    if (weights.gate_up.empty()) {
      routing.matrices[a] = {weights.gate[expert], weights.up[expert], down};
    } else {
      const tensor::Matrix both = weights.gate_up[expert];
      routing.matrices[a] = {RowsOf(both, 0, down.k), RowsOf(both, down.k, down.k), down};
    }
  }
}

// Those that are in memory while the others are being read, and then these as they come. Of few
// tokens every expert's results are kept and combined in the end, so any order will do.
void LayerPieces::RunPagedExperts(const FeedForwardWeights& weights) {
  const Routing& routing = step_.scratch.routing;
  const bool few = step_.n() <= kFewTokens;
  auto round = step_.experts->Want(step_, layer_idx_,
                                   few ? memory::WantOrder::kArrival : memory::WantOrder::kGiven);
  if (few) {
    GuessNext();
  }
  Wave wave;
  if (!weights.shared.gate.empty()) {  // it is here, and waits for no one
    wave.is_last = false;
    RunWave(weights, wave);
    wave.is_first = false;
  }
  if (error_) {
    return;
  }
  for (size_t n_done = 0; n_done < routing.n_active;) {
    const auto ready = round.Next();
    if (!ready) {
      error_ = ready.error();
      std::ranges::fill(step_.scratch.down_done, 0U);
      return;
    }
    for (const uint32_t a : *ready) {
      routing.matrices[a] = step_.experts->MatricesOf(layer_idx_, routing.active[a]);
    }
    n_done += ready->size();
    wave.experts = *ready;
    wave.is_last = n_done == routing.n_active;
    RunWave(weights, wave);
    wave.is_first = false;
    if (error_) {
      std::ranges::fill(step_.scratch.down_done, 0U);
      return;
    }
  }
}

// Of the shared expert, which may be streamed, gate and up go with the first wave; down with the
// first too if results are kept until they are combined, else with the last.
void LayerPieces::RunWave(const FeedForwardWeights& weights, const Wave& wave) {
  const SharedExpertWeights& shared = weights.shared;
  const bool has_shared = !shared.gate.empty();
  if (has_shared && wave.is_first && !Use({&shared.gate.first, &shared.up.first})) {
    return;
  }
  RunGateUp(weights, wave);
  const bool with_first = step_.n() <= kFewTokens;
  if (has_shared && (with_first ? wave.is_first : wave.is_last) && !Use({&shared.down.first})) {
    return;
  }
  RunDown(weights, wave);
}

void LayerPieces::RunDown(const FeedForwardWeights& weights, const Wave& wave) {
  if (step_.n() <= kFewTokens) {
    RunDownByExpert(weights, wave);
  } else {
    RunDownByRows(weights, wave);
  }
}

// Paged experts come one by one, and every thread is to have a part of each.
size_t LayerPieces::ExpertsAtOnce(const Wave& wave) const {
  return wave.is_first && wave.is_last ? wave.experts.size() : 1;
}

// One task list over the wave's experts and, with the first wave, the shared one.
void LayerPieces::RunGateUp(const FeedForwardWeights& weights, const Wave& wave) {
  Scratch& s = step_.scratch;
  const Routing& routing = s.routing;
  const uint64_t ff_dim = params().expert_ff_dim;
  const uint64_t shared_ff_dim = weights.shared.gate.empty() ? 0 : params().shared_ff_dim;
  s.packed_ff.floats = s.gate.data();
  s.packed_ff.k = ff_dim;
  s.packed_shared.floats = s.shared_gate.data();
  s.packed_shared.k = shared_ff_dim;

  const auto rows_per_task = [&](const tensor::Matrix& gate, size_t n_experts) {
    return ExpertRowsPerTask(step_, gate, 2 * n_experts, kGateUpRows);
  };
  const size_t n_routed = wave.experts.size();
  const size_t n_shared = shared_ff_dim != 0 && wave.is_first ? 1 : 0;
  const GateUp routed = {
      step_,
      n_routed,
      ff_dim,
      n_routed == 0 ? kGateUpRows
                    : rows_per_task(routing.matrices[wave.experts[0]].gate, ExpertsAtOnce(wave)),
      s.gate.data(),
      s.up.data(),
      s.packed_ff,
      s.gate_up_done};
  const GateUp shared = {step_,
                         n_shared,
                         shared_ff_dim,
                         n_shared == 0 ? kGateUpRows : rows_per_task(weights.shared.gate.first, 1),
                         s.shared_gate.data(),
                         s.shared_up.data(),
                         s.packed_shared,
                         s.shared_gate_up_done};

  step_.team.Run(routed.n_tasks() + shared.n_tasks(), [&](size_t task, size_t thread) {
    std::byte* workspace = s.threads[thread].workspace;
    if (task >= routed.n_tasks()) {
      const ExpertWork work = {.gate = weights.shared.gate[0],
                               .up = weights.shared.up[0],
                               .gate_bias = {},
                               .up_bias = {},
                               .input_weights = {},
                               .n = step_.n(),
                               .tokens = nullptr,
                               .first_out = 0};
      shared.Run(task - routed.n_tasks(), work, workspace);
      return;
    }
    const uint32_t a = wave.experts[routed.ExpertOf(task)];
    const uint32_t expert = routing.active[a];
    const uint32_t begin = routing.active_begin[a];
    const uint32_t n = routing.active_begin[a + 1] - begin;
    const ExpertWork work = {.gate = routing.matrices[a].gate,
                             .up = routing.matrices[a].up,
                             .gate_bias = BiasOf(weights.gate_bias, expert, ff_dim),
                             .up_bias = BiasOf(weights.up_bias, expert, ff_dim),
                             .input_weights = routing.pair_input_weight.empty()
                                                  ? Vector()
                                                  : routing.pair_input_weight.subspan(begin, n),
                             .n = n,
                             .tokens = routing.pair_token.data() + begin,
                             .first_out = begin};
    routed.Run(task, work, workspace);
  });
  if (step_.activations != nullptr) {
    ObserveExperts(weights, wave, n_shared != 0);
  }
}

// What gate and up of a wave have read, and what down is to read.
void LayerPieces::ObserveExperts(const FeedForwardWeights& weights, const Wave& wave,
                                 bool with_shared) const {
  const Scratch& s = step_.scratch;
  const Routing& routing = s.routing;
  for (const uint32_t a : wave.experts) {
    const uint32_t expert = routing.active[a];
    const uint32_t begin = routing.active_begin[a];
    const size_t n = routing.active_begin[a + 1] - begin;
    step_.activations->OnInput(
        weights.gate.first,
        {.matrix_idx = expert,
         .rows = s.packed_in.floats,
         .k = s.packed_in.k,
         .stride = s.packed_in.k,
         .n = n,
         .row_idx = routing.pair_token.data() + begin,
         .factors = routing.pair_input_weight.empty() ? nullptr
                                                      : routing.pair_input_weight.data() + begin});
    step_.activations->OnInput(weights.down.first,
                               {.matrix_idx = expert,
                                .rows = s.packed_ff.floats + begin * s.packed_ff.k,
                                .k = s.packed_ff.k,
                                .stride = s.packed_ff.k,
                                .n = n});
  }
  if (with_shared) {
    Observe(step_, weights.shared.gate.first, s.packed_in, step_.n());
    Observe(step_, weights.shared.down.first, s.packed_shared, step_.n());
  }
}

void LayerPieces::ScaleSharedExpert(const SharedExpertWeights& weights) {
  Scratch& s = step_.scratch;
  if (weights.gate.empty()) {
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
