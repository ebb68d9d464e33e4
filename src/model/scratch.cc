#include "model/scratch.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/checked.h"
#include "base/invariant.h"
#include "kernels/activation.h"

namespace plimsoll::model {
namespace {

using kernels::ActivationFormat;

constexpr uint64_t kBlock = 32;
constexpr uint64_t kSuperBlock = 256;

// The largest that any layer needs of each.
struct Widths {
  uint64_t q = 0, gates = 0, k = 0, v = 0, head = 0, attended = 0, experts = 0, active = 0, ff = 0,
           shared_ff = 0;
  bool beside = false;
  // Latent attention; of one token.
  uint64_t q_rank = 0, kv_rank = 0, nope = 0, q_nope = 0, q_latent = 0, mixed = 0, heads = 0;
};

Widths WidestLayer(const HyperParams& hp) {
  Widths w;
  for (const LayerParams& layer : hp.layers) {
    w.q = std::max<uint64_t>(w.q, layer.q_row());
    w.gates = std::max<uint64_t>(w.gates, layer.gated ? layer.q_dim() : 0);
    w.k = std::max<uint64_t>(w.k, layer.k_dim());
    w.v = std::max<uint64_t>(w.v, layer.v_dim());
    w.head = std::max<uint64_t>({w.head, layer.head_dim_k, layer.head_dim_v});
    w.attended =
        std::max<uint64_t>(w.attended, layer.recurrent ? hp.delta.v_dim() : layer.attention_dim());
    w.experts = std::max<uint64_t>(w.experts, layer.n_experts);
    w.active = std::max<uint64_t>(w.active, layer.n_experts_active);
    w.ff = std::max<uint64_t>(w.ff, layer.expert_ff_dim);
    w.shared_ff = std::max<uint64_t>(w.shared_ff, layer.shared_ff_dim);
    w.beside = w.beside || layer.shared_is_beside;
    if (layer.is_latent()) {
      const LatentParams& latent = layer.latent;
      w.q_rank = std::max<uint64_t>(w.q_rank, latent.q_rank);
      w.kv_rank = std::max<uint64_t>(w.kv_rank, latent.kv_rank);
      w.nope = std::max<uint64_t>(w.nope, latent.nope_dim);
      w.heads = std::max<uint64_t>(w.heads, layer.n_heads);
      w.q_nope = std::max(w.q_nope, uint64_t{layer.n_heads} * latent.nope_dim);
      w.q_latent = std::max(w.q_latent, uint64_t{layer.n_heads} * layer.head_dim_k);
      w.mixed = std::max(w.mixed, uint64_t{layer.n_heads} * latent.kv_rank);
    }
  }
  return w;
}

PackedRows LayPacked(uint64_t n_rows, uint64_t max_k, const PackedFormats& formats,
                     memory::Carver& carver) {
  PackedRows rows;
  if (formats.q8x32 && max_k != 0) {
    rows.q8x32 = carver.TakeBytes(
        n_rows * kernels::ActivationRowBytes(ActivationFormat::kQ8x32, AlignUp(max_k, kBlock)));
  }
  if (formats.q8x256 && max_k != 0) {
    rows.q8x256 =
        carver.TakeBytes(n_rows * kernels::ActivationRowBytes(ActivationFormat::kQ8x256,
                                                              AlignUp(max_k, kSuperBlock)));
  }
  return rows;
}

LatentScratch LayLatent(const Widths& w, uint64_t n, const PackedFormats& formats,
                        memory::Carver& carver) {
  const uint64_t m = std::min<uint64_t>(n, kLatentTokens);
  LatentScratch s;
  s.q_down = carver.Take<float>(n * w.q_rank);
  s.q_nope = carver.Take<float>(m * w.q_nope);
  s.q_latent = carver.Take<float>(m * w.q_latent);
  s.mixed = carver.Take<float>(m * w.mixed);
  s.packed_q_down = LayPacked(n, w.q_rank, formats, carver);
  s.packed_q_nope = LayPacked(m * w.heads, w.nope, formats, carver);
  s.packed_mixed = LayPacked(m * w.heads, w.kv_rank, formats, carver);
  return s;
}

DeltaScratch LayDelta(const HyperParams& hp, uint64_t n, memory::Carver& carver) {
  if (std::ranges::none_of(hp.layers, &LayerParams::recurrent)) {
    return {};
  }
  const DeltaParams& delta = hp.delta;
  DeltaScratch s;
  s.qkv = carver.Take<float>(n * delta.conv_dim());
  s.gate = carver.Take<float>(n * delta.v_dim());
  s.beta = carver.Take<float>(n * delta.n_v_heads);
  s.alpha = carver.Take<float>(n * delta.n_v_heads);
  s.joined = carver.Take<float>(n * 2 * delta.n_v_heads);
  s.q_norm = carver.Take<float>(delta.head_dim);
  s.k_norm = carver.Take<float>(delta.head_dim);
  s.zeros = carver.Take<float>(delta.head_dim);
  s.runs = carver.Take<TokenRun>(n);
  std::ranges::fill(s.zeros, 0.0F);
  std::ranges::fill(s.q_norm, static_cast<float>(1.0 / delta.head_dim));
  std::ranges::fill(s.k_norm, static_cast<float>(1.0 / std::sqrt(delta.head_dim)));
  return s;
}

}  // namespace

void PackedRows::PackPart(const kernels::KernelSet& kernels, size_t i, uint64_t first,
                          uint64_t last) const {
  const auto pack = [&](ActivationFormat format, std::byte* rows, uint64_t first_byte) {
    kernels.pack_activation(format, floats + i * k + first, last - first,
                            rows + i * kernels::ActivationRowBytes(format, k) + first_byte);
  };
  if (q8x32 != nullptr && k % kBlock == 0) {
    pack(ActivationFormat::kQ8x32, q8x32, first / kBlock * sizeof(kernels::BlockQ8x32));
  }
  if (q8x256 != nullptr && k % kSuperBlock == 0) {
    pack(ActivationFormat::kQ8x256, q8x256, first / kSuperBlock * sizeof(kernels::BlockQ8x256));
  }
}

kernels::Activations PackedRows::For(tensor::DType weight, size_t first, size_t n,
                                     const uint32_t* row_idx) const {
  kernels::Activations x;
  x.format = kernels::ActivationFormatFor(weight);
  x.k = k;
  x.n_rows = n;
  x.row_idx = row_idx;
  switch (x.format) {
    case ActivationFormat::kF32:
      x.data = reinterpret_cast<const std::byte*>(floats);
      x.row_stride = k * sizeof(float);
      break;
    case ActivationFormat::kQ8x32:
      x.data = q8x32;
      x.row_stride = kernels::ActivationRowBytes(x.format, k);
      break;
    case ActivationFormat::kQ8x256:
      x.data = q8x256;
      x.row_stride = kernels::ActivationRowBytes(x.format, k);
      break;
  }
  Invariant(x.data != nullptr, "activations are packed in every form that a weight reads");
  x.data += first * x.row_stride;
  return x;
}

Scratch Scratch::Lay(const HyperParams& hp, const ScratchShape& shape, memory::Carver& carver) {
  const Widths w = WidestLayer(hp);
  const uint64_t n = shape.max_tokens;
  const uint64_t pairs = n * w.active;
  Scratch s;
  s.x = carver.Take<float>(n * hp.hidden_dim);
  s.branch = carver.Take<float>(n * hp.hidden_dim);
  s.kept_branch = carver.Take<float>(w.beside ? n * hp.hidden_dim : 0);
  s.normed = carver.Take<float>(n * hp.hidden_dim);
  s.q = carver.Take<float>(n * w.q);
  s.gates = carver.Take<float>(n * w.gates);
  s.k = carver.Take<float>(n * w.k);
  s.v = carver.Take<float>(n * w.v);
  s.attended = carver.Take<float>(n * w.attended);
  s.block_keys = carver.Take<uint16_t>(n * shape.quantized_keys);
  s.block_values = carver.Take<uint16_t>(n * shape.quantized_values);
  s.last_of_blocks = carver.Take<uint32_t>(shape.quantized_keys == 0 ? 0 : n);
  s.visible = carver.Take<kernels::VisibleSlots>(n);
  s.attention_tiles = carver.Take<AttentionTile>(n);
  s.gate = carver.Take<float>(pairs * w.ff);
  s.up = carver.Take<float>(pairs * w.ff);
  s.shared_gate = carver.Take<float>(n * w.shared_ff);
  s.shared_up = carver.Take<float>(n * w.shared_ff);
  s.shared_scale = carver.Take<float>(n);
  const uint64_t few = std::min<uint64_t>(n, kFewTokens);
  s.expert_out = carver.Take<float>(few * w.active * hp.hidden_dim);
  s.shared_out = carver.Take<float>(w.shared_ff == 0 ? 0 : few * hp.hidden_dim);
  s.ahead_normed = carver.Take<float>(few * hp.hidden_dim);
  s.ahead_scores = carver.Take<float>(few * w.experts);
  s.ahead_best = carver.Take<float>(w.experts);
  s.ahead_ranked = carver.Take<uint32_t>(w.experts);
  s.gate_up_done = carver.Take<uint32_t>(std::min(w.experts, pairs) * CeilDiv(w.ff, kGateUpRows));
  s.shared_gate_up_done = carver.Take<uint32_t>(CeilDiv(w.shared_ff, kGateUpRows));
  s.down_done = carver.Take<uint32_t>(CeilDiv(hp.hidden_dim, kDownRows));
  s.ones = carver.Take<float>(w.head);
  std::ranges::fill(s.ones, 1.0F);
  const auto take_angles = [&](const RopeParams& rope) {
    return RopeAngles{carver.Take<float>(n * rope.n_dims / 2),
                      carver.Take<float>(n * rope.n_dims / 2)};
  };
  s.angles = take_angles(hp.rope);
  if (hp.window_rope) {
    s.window_angles = take_angles(*hp.window_rope);
  }
  s.logits = carver.Take<float>(uint64_t{kLogitRows} * hp.vocab_size);
  s.embedding_row = carver.Take<std::byte>(shape.embedding_row_bytes + tensor::kReadablePadding);
  s.packed_in = LayPacked(n, std::max<uint64_t>(hp.hidden_dim, w.attended), shape.formats, carver);
  s.packed_ff = LayPacked(pairs, w.ff, shape.formats, carver);
  s.packed_shared = LayPacked(n, w.shared_ff, shape.formats, carver);

  s.latent = LayLatent(w, n, shape.formats, carver);
  s.layer_inputs = carver.Take<float>(n * hp.n_layers * hp.layer_input_dim);
  s.input_rows = carver.Take<float>(n * hp.n_layers * hp.layer_input_dim);
  s.input_gate = carver.Take<float>(n * hp.layer_input_dim);
  s.packed_input = LayPacked(n, hp.layer_input_dim, shape.formats, carver);
  s.delta = LayDelta(hp, n, carver);
  s.routing.scores = carver.Take<float>(n * w.experts);
  s.routing.selection = carver.Take<float>(n * w.experts);
  s.routing.group_scores = carver.Take<float>(n * hp.router.n_groups);
  s.routing.groups = carver.Take<uint32_t>(n * hp.router.n_groups_used);
  s.routing.chosen = carver.Take<uint32_t>(pairs);
  s.routing.chosen_weights = carver.Take<float>(pairs);
  s.routing.pair_token = carver.Take<uint32_t>(pairs);
  s.routing.pair_weight = carver.Take<float>(pairs);
  s.routing.pair_input_weight = carver.Take<float>(hp.router.weighs_input ? pairs : 0);
  s.routing.active = carver.Take<uint32_t>(w.experts);
  s.routing.active_begin = carver.Take<uint32_t>(w.experts + 1);
  s.routing.matrices = carver.Take<ExpertMatrices>(w.experts);
  s.routing.counts = carver.Take<uint32_t>(w.experts);
  s.routing.in_order = carver.Take<uint32_t>(w.experts);
  std::iota(s.routing.in_order.begin(), s.routing.in_order.end(), 0U);

  const uint64_t max_k = std::max({uint64_t{hp.hidden_dim}, uint64_t{hp.layer_input_dim},
                                   w.attended, w.ff, w.shared_ff, w.q_rank, w.kv_rank, w.nope});
  size_t workspace_bytes = shape.matmul_workspace_bytes(max_k);
  for (const LayerParams& layer : hp.layers) {
    if (!layer.recurrent) {
      workspace_bytes = std::max(
          workspace_bytes, shape.attention_workspace_bytes(layer.head_dim_k, layer.head_dim_v));
    }
  }
  s.threads = carver.Take<ThreadScratch>(shape.n_threads);
  for (uint32_t i = 0; i < shape.n_threads; ++i) {
    std::byte* workspace = carver.TakeBytes(workspace_bytes);
    const auto tile = carver.Take<float>(n * kDownRows);
    const auto latent_row = carver.Take<float>(w.kv_rank);
    if (!s.threads.empty()) {
      s.threads[i] = {workspace, tile, latent_row.data()};
    }
  }
  return s;
}

}  // namespace plimsoll::model
