#include "model/delta_net.h"

#include <algorithm>
#include <array>

#include "kernels/trig.h"
#include "model/layer_pieces.h"
#include "model/products.h"

namespace plimsoll::model {
namespace {

using kernels::kDeltaLanes;
using kv::BlockLayout;
using kv::RecurrentStates;
using kv::StateBlocks;

// Beside the sum of squares, where queries and keys are brought to one length.
constexpr double kLengthEps = 1e-6;

// exp(factor * log(1 + exp(x))), made in double. What is no number, and what no file should have,
// stays within bounds.
float DecayOf(float factor, double x) {
  const double softplus = x > 40 ? x : x > -700 ? kernels::Log(1 + kernels::Exp(x)) : 0;
  const double exponent = factor * softplus;
  return exponent > -700 ? static_cast<float>(kernels::Exp(std::min(exponent, 80.0))) : 0;
}

class DeltaLayer {
 public:
  DeltaLayer(const Step& step, uint32_t layer_idx, const DeltaNetWeights& weights)
      : step_(step),
        layer_idx_(layer_idx),
        p_(step.hp.delta),
        weights_(weights),
        s_(step.scratch),
        rows_(step.scratch.delta) {
    FindRuns();
  }

  // From the normed input: what is convolved, the gate, and what beta and decay are made of.
  void Project() {
    const auto product = [&](const tensor::Matrix& w, std::span<float> y) {
      return Product{w, s_.packed_in.For(w.dtype, 0, step_.n()), y.data(), w.rows};
    };
    Observe(step_, weights_.qkv, s_.packed_in, step_.n());
    if (weights_.joined.empty()) {
      const Product products[] = {
          product(weights_.qkv, rows_.qkv), product(weights_.gate, rows_.gate),
          product(weights_.beta, rows_.beta), product(weights_.alpha, rows_.alpha)};
      RunProducts(step_, products);
    } else {
      const Product products[] = {product(weights_.qkv, rows_.qkv),
                                  product(weights_.gate, rows_.gate),
                                  product(weights_.joined, rows_.joined)};
      RunProducts(step_, products);
      step_.ForEachToken([&](size_t i) { Part(i); });
    }
    step_.ForEachToken([&](size_t i) { MakeFactors(i); });
  }

  // Queries, keys and values behind the convolution, in place, queries and keys of one length.
  void Convolve() {
    const size_t n_heads = 2 * p_.n_k_heads + p_.n_v_heads;
    step_.team.Run(n_runs_ * n_heads, [&](size_t task, size_t /*thread*/) {
      ConvolveHead(rows_.runs[task / n_heads], static_cast<uint32_t>(task % n_heads));
    });
  }

  // What each value head remembers, normed and gated, in scratch.attended.
  void Remember() {
    step_.team.Run(n_runs_ * p_.n_v_heads, [&](size_t task, size_t /*thread*/) {
      const TokenRun& run = rows_.runs[task / p_.n_v_heads];
      const auto head = static_cast<uint32_t>(task % p_.n_v_heads);
      for (uint32_t first = 0; first < p_.head_dim; first += kDeltaLanes) {
        RunLanes(run, head, first);
      }
      for (size_t i = run.first; i < run.first + run.n; ++i) {
        float* out = Out(i, head);
        step_.kernels.rms_norm(out, weights_.head_norm.data(), step_.hp.rms_eps, p_.head_dim, out);
        const float* gate = rows_.gate.data() + i * p_.v_dim() + head * p_.head_dim;
        step_.kernels.silu_mul(gate, out, p_.head_dim, out);
      }
    });
  }

 private:
  void FindRuns() {
    for (size_t i = 0; i < step_.n(); ++i) {
      if (i == 0 || step_.tokens[i].sequence != step_.tokens[i - 1].sequence) {
        rows_.runs[n_runs_++] = {.first = i, .n = 0};
      }
      ++rows_.runs[n_runs_ - 1].n;
    }
  }

  // Betas and alphas of a row that has them by key heads.
  void Part(size_t token) const {
    const uint32_t group = p_.n_v_heads / p_.n_k_heads;
    const float* from = rows_.joined.data() + token * 2 * p_.n_v_heads;
    float* beta = rows_.beta.data() + token * p_.n_v_heads;
    float* alpha = rows_.alpha.data() + token * p_.n_v_heads;
    for (uint32_t head = 0; head < p_.n_k_heads; ++head) {
      beta = std::copy_n(from, group, beta);
      alpha = std::copy_n(from + group, group, alpha);
      from += 2 * group;
    }
  }

  void MakeFactors(size_t token) const {
    step_.kernels.sigmoid(rows_.beta.data() + token * p_.n_v_heads, p_.n_v_heads);
    float* alpha = rows_.alpha.data() + token * p_.n_v_heads;
    for (uint32_t head = 0; head < p_.n_v_heads; ++head) {
      alpha[head] =
          DecayOf(weights_.decay[head], double{alpha[head]} + double{weights_.dt_bias[head]});
    }
  }

  [[nodiscard]] float* Qkv(size_t token, uint32_t head) const {
    return rows_.qkv.data() + token * p_.conv_dim() + size_t{head} * p_.head_dim;
  }
  [[nodiscard]] float* Out(size_t token, uint32_t head) const {
    return s_.attended.data() + token * p_.v_dim() + size_t{head} * p_.head_dim;
  }
  [[nodiscard]] std::span<const RecurrentStates::Part> PartsOf(const TokenRun& run) const {
    return step_.tokens[run.first].sequence->states()->parts();
  }
  [[nodiscard]] BlockLayout::Place InputPlace(const TokenRun& run, uint32_t head) const {
    return step_.tokens[run.first].sequence->layout().state_input(layer_idx_, head);
  }

  void ConvolveHead(const TokenRun& run, uint32_t head) const {
    const StateBlocks* before = PartsOf(run).front().from;
    const BlockLayout::Place place = InputPlace(run, head);
    const auto* old =
        before == nullptr ? nullptr : reinterpret_cast<const float*>(before->At(place));
    const size_t n_kept = p_.conv_width - 1;
    // Input n_kept + i is that of the run's token i, those before it were kept.
    const auto input = [&](size_t i) -> const float* {
      if (i >= n_kept) {
        return Qkv(run.first + i - n_kept, head);
      }
      return old == nullptr ? rows_.zeros.data() : old + i * p_.head_dim;
    };
    size_t end = 0;
    for (const RecurrentStates::Part& part : PartsOf(run)) {
      end += part.n_tokens;
      auto* kept = reinterpret_cast<float*>(part.to->At(place));
      for (size_t i = 0; i < n_kept; ++i) {
        std::copy_n(input(end + i), p_.head_dim, kept + i * p_.head_dim);
      }
    }
    // The last token first: its result takes its input's place.
    std::array<const float*, kMaxConvWidth> inputs;
    for (size_t i = run.n; i-- > 0;) {
      for (size_t j = 0; j < p_.conv_width; ++j) {
        inputs[j] = input(i + j);
      }
      float* y = Qkv(run.first + i, head);
      step_.kernels.short_conv(inputs.data(), weights_.conv.data() + size_t{head} * p_.head_dim,
                               p_.conv_width, p_.conv_dim(), p_.head_dim, y);
      if (head < 2 * p_.n_k_heads) {
        const std::span<const float> norm = head < p_.n_k_heads ? rows_.q_norm : rows_.k_norm;
        const auto eps = static_cast<float>(kLengthEps / p_.head_dim);
        step_.kernels.rms_norm(y, norm.data(), eps, p_.head_dim, y);
      }
    }
  }

  // kDeltaLanes value dimensions of a head, which are a piece of its memory.
  void RunLanes(const TokenRun& run, uint32_t head, uint32_t first_lane) const {
    const uint32_t piece = (head * p_.head_dim + first_lane) / kDeltaLanes;
    const BlockLayout::Place place =
        step_.tokens[run.first].sequence->layout().state_memory(layer_idx_, piece);
    const uint32_t k_head = p_.k_head_of(head);
    size_t token = run.first;
    for (const RecurrentStates::Part& part : PartsOf(run)) {
      auto* to = reinterpret_cast<float*>(part.to->At(place));
      const float* from = to;
      if (part.from == nullptr) {
        std::fill_n(to, size_t{p_.head_dim} * kDeltaLanes, 0.0F);
      } else {
        from = reinterpret_cast<const float*>(part.from->At(place));
      }
      for (const size_t end = token + part.n_tokens; token < end; ++token) {
        step_.kernels.delta_rule({.from = from,
                                  .to = to,
                                  .key_dim = p_.head_dim,
                                  .query = Qkv(token, k_head),
                                  .key = Qkv(token, p_.n_k_heads + k_head),
                                  .value = Qkv(token, 2 * p_.n_k_heads + head) + first_lane,
                                  .decay = rows_.alpha[token * p_.n_v_heads + head],
                                  .beta = rows_.beta[token * p_.n_v_heads + head],
                                  .out = Out(token, head) + first_lane});
        from = to;
      }
    }
  }

  const Step& step_;
  uint32_t layer_idx_;
  const DeltaParams& p_;
  const DeltaNetWeights& weights_;
  Scratch& s_;
  DeltaScratch& rows_;
  size_t n_runs_ = 0;
};

}  // namespace

BlockLayout::StatePieces StatePiecesOf(const DeltaParams& delta) {
  return {.n_memories = delta.v_dim() / kDeltaLanes,
          .memory_bytes = uint64_t{delta.head_dim} * kDeltaLanes * sizeof(float),
          .n_inputs = 2 * delta.n_k_heads + delta.n_v_heads,
          .input_bytes = uint64_t{delta.conv_width - 1} * delta.head_dim * sizeof(float)};
}

void LayerPieces::DeltaNet(const DeltaNetWeights& weights) {
  if (!Use({&weights.qkv, &weights.gate})) {
    return;
  }
  DeltaLayer layer(step_, layer_idx_, weights);
  layer.Project();
  layer.Convolve();
  layer.Remember();
  Scratch& s = step_.scratch;
  s.packed_in.floats = s.attended.data();
  s.packed_in.k = step_.hp.delta.v_dim();
  step_.ForEachToken([&](size_t i) { s.packed_in.Pack(step_.kernels, i); });
  if (Use({&weights.output})) {
    ProjectOutput(weights.output, {});
    branch_pending_ = true;
  }
}

}  // namespace plimsoll::model
