// The attention piece: projections, rotation, the KV cache, and attention itself.
#include <algorithm>

#include "kernels/kv_panels.h"
#include "kernels/trig.h"
#include "model/attend.h"
#include "model/layer_kv.h"
#include "model/layer_pieces.h"
#include "model/products.h"

namespace plimsoll::model {

void LayerPieces::Attention(const AttentionWeights& weights) {
  if (!Use({&weights.q, &weights.k, &weights.v, &weights.qkv})) {
    return;
  }
  ProjectQkv(weights);
  if (params().kv_of) {
    step_.ForEachToken([&](size_t i) { FinishQueries(weights, i); });
  } else {
    StoreKeysAndValues(weights);
  }
  AttendAll(weights);
  if (Use({&weights.output})) {
    ProjectOutput(weights.output, weights.output_bias);
    branch_pending_ = true;
  }
}

void LayerPieces::StoreKeysAndValues(const AttentionWeights& weights) {
  const LayerKv kv(step_, layer_idx_);
  step_.ForEachToken([&](size_t i) {
    FinishValues(weights, i);
    FinishQueries(weights, i);
    float* keys = step_.scratch.k.data() + i * params().k_dim();
    FinishHeads(keys, params().n_kv_heads, weights.k_bias, weights.k_norm, i);
    kv.Store(i, keys, step_.scratch.v.data() + i * params().v_dim());
  });
  kv.QuantizeFullBlocks();
}

void LayerPieces::ProjectQkv(const AttentionWeights& weights) {
  Scratch& s = step_.scratch;
  const LayerParams& p = params();
  const tensor::Matrix& joined = weights.qkv;
  const bool apart = joined.empty();
  const auto product = [&](const tensor::Matrix& own, uint64_t first, uint64_t rows, float* y) {
    const tensor::Matrix w = apart ? own : RowsOf(joined, first, rows);
    return Product{w, s.packed_in.For(w.dtype, 0, step_.n()), y, rows};
  };
  const Product products[] = {
      product(weights.q, 0, p.q_row(), s.q.data()),
      product(weights.k, p.q_row(), p.k_dim(), s.k.data()),
      product(weights.v, uint64_t{p.q_row()} + p.k_dim(), p.v_dim(), s.v.data()),
  };
  Observe(step_, weights.q, s.packed_in, step_.n());
  const bool has_values = !apart || !weights.v.empty();
  RunProducts(step_, std::span(products).first(p.kv_of ? 1 : has_values ? 3 : 2));
  if (!has_values && !p.kv_of) {
    std::copy_n(s.k.data(), step_.n() * p.k_dim(), s.v.data());
  }
}

void LayerPieces::FinishValues(const AttentionWeights& weights, size_t token) {
  const LayerParams& p = params();
  float* v = step_.scratch.v.data() + token * p.v_dim();
  if (!weights.v_bias.empty()) {
    step_.kernels.add(weights.v_bias.data(), p.v_dim(), v);
  }
  if (const float c = step_.hp.clamp_qkv; c > 0) {
    std::for_each(v, v + p.v_dim(), [c](float& value) { value = std::clamp(value, -c, c); });
  }
  if (p.has_unit_values) {
    NormToUnit(v, p.v_dim(), p.head_dim_v);
  }
}

void LayerPieces::FinishQueries(const AttentionWeights& weights, size_t token) {
  const LayerParams& p = params();
  if (p.gated) {
    TakeGates(weights.q_bias, token);
  }
  const Vector q_bias = p.gated ? Vector() : weights.q_bias;
  FinishHeads(step_.scratch.q.data() + token * p.q_row(), p.n_heads, q_bias, weights.q_norm, token);
  LengthenQueries(token);
}

// A row has each head's query and then its gate. The queries move together, to its front.
void LayerPieces::TakeGates(Vector bias, size_t token) {
  const LayerParams& p = params();
  const uint64_t head_dim = p.head_dim_k;
  float* row = step_.scratch.q.data() + token * p.q_row();
  if (!bias.empty()) {
    step_.kernels.add(bias.data(), p.q_row(), row);
  }
  float* gates = step_.scratch.gates.data() + token * p.q_dim();
  for (uint32_t head = 0; head < p.n_heads; ++head) {
    const float* from = row + 2 * head * head_dim;
    std::copy_n(from + head_dim, head_dim, gates + head * head_dim);
    std::copy_n(from, head_dim, row + head * head_dim);
  }
}

void LayerPieces::NormToUnit(float* heads, uint64_t width, uint64_t head_dim) const {
  for (uint64_t at = 0; at < width; at += head_dim) {
    step_.kernels.rms_norm(heads + at, step_.scratch.ones.data(), step_.hp.rms_eps, head_dim,
                           heads + at);
  }
}

void LayerPieces::LengthenQueries(size_t token) {
  const QueryTemperature& temperature = step_.hp.temperature;
  if (temperature.scale == 0 || !params().lengthens_queries) {
    return;
  }
  const uint64_t position = uint64_t{step_.tokens[token].position} + temperature.offset;
  const auto n_lengths = static_cast<double>(1 + position / temperature.length);
  const auto factor = static_cast<float>(1.0 + temperature.scale * kernels::Log(n_lengths));
  float* q = step_.scratch.q.data() + token * params().q_row();
  std::for_each(q, q + params().q_dim(), [factor](float& value) { value *= factor; });
}

void LayerPieces::FinishHeads(float* heads, uint32_t n_heads, Vector bias, Vector norm,
                              size_t token) {
  const uint64_t head_dim = params().head_dim_k;
  const uint64_t width = n_heads * head_dim;
  if (!bias.empty()) {
    step_.kernels.add(bias.data(), width, heads);
  }
  if (const float c = step_.hp.clamp_qkv; c > 0) {
    std::for_each(heads, heads + width, [c](float& value) { value = std::clamp(value, -c, c); });
  }
  // Over each head by itself, or over all of them at once.
  for (uint64_t at = 0; !norm.empty() && at < width; at += norm.size()) {
    step_.kernels.rms_norm(heads + at, norm.data(), step_.hp.rms_eps, norm.size(), heads + at);
  }
  if (params().has_rope) {
    RotateHeads(heads, n_heads, token);
  }
  if (params().has_unit_heads) {
    NormToUnit(heads, width, head_dim);
  }
  const uint32_t kv_layer = params().kv_of.value_or(layer_idx_);
  const bool rotated = step_.tokens[token].sequence->layout().layer(kv_layer).rotated;
  for (uint32_t head = 0; rotated && head < n_heads; ++head) {
    kernels::Hadamard(heads + head * head_dim, params().head_dim_k);
  }
}

void LayerPieces::RotateHeads(float* heads, uint32_t n_heads, size_t token) {
  const bool windowed = step_.hp.has_window_rope(layer_idx_);
  const RopeParams& rope = windowed ? *step_.hp.window_rope : step_.hp.rope;
  const RopeAngles& angles = windowed ? step_.scratch.window_angles : step_.scratch.angles;
  const uint32_t n_pairs = rope.n_dims / 2;
  const float* cos = angles.cos.data() + token * n_pairs;
  const float* sin = angles.sin.data() + token * n_pairs;
  for (uint32_t head = 0; head < n_heads; ++head) {
    step_.kernels.rope(heads + size_t{head} * params().head_dim_k, cos, sin, n_pairs, rope.neox);
  }
}

void LayerPieces::AttendAll(const AttentionWeights& weights) {
  Scratch& s = step_.scratch;
  const LayerParams& p = params();
  Attend(step_, layer_idx_,
         {.first = 0,
          .n = step_.n(),
          .q = s.q.data(),
          .q_stride = p.q_row(),
          .out = s.attended.data(),
          .out_stride = p.attention_dim(),
          .sinks = weights.sinks.empty() ? nullptr : weights.sinks.data()});
  s.packed_in.floats = s.attended.data();
  s.packed_in.k = p.attention_dim();
  step_.ForEachToken([&](size_t i) {
    if (p.gated) {
      float* attended = s.attended.data() + i * p.attention_dim();
      step_.kernels.sigmoid_mul(s.gates.data() + i * p.q_dim(), attended, p.attention_dim(),
                                attended);
    }
    s.packed_in.Pack(step_.kernels, i);
  });
}

void LayerPieces::ProjectOutput(const tensor::Matrix& output, Vector bias) {
  Scratch& s = step_.scratch;
  const uint64_t d = step_.hp.hidden_dim;
  const Product product = {output, s.packed_in.For(output.dtype, 0, step_.n()), s.branch.data(), d};
  Observe(step_, output, s.packed_in, step_.n());
  RunProducts(step_, {&product, 1});
  if (!bias.empty()) {
    step_.ForEachToken(
        [&](size_t i) { step_.kernels.add(bias.data(), d, s.branch.data() + i * d); });
  }
}

}  // namespace plimsoll::model
