// The attention piece of models that cache a latent: multi-head latent attention in its absorbed
// form (DeepSeek-V2, arXiv:2405.04434, section 2.1 and appendix C).
//
// A head's key is k_up x latent beside the rotated key that all heads share. Instead of making it
// for every cached token, the head's query is taken to the latent by the same matrix:
// q . (k_up x latent) = (k_up^T x q) . latent. All heads then attend to the cache as one KV head
// whose key is [latent | rotated key] and whose value is the latent; what they get is a mixture of
// latents, which v_up turns into the head's output. Prefill takes the same form as decode, since
// another one would give other bits.
#include <algorithm>

#include "model/attend.h"
#include "model/layer_kv.h"
#include "model/layer_pieces.h"
#include "model/products.h"

namespace plimsoll::model {
namespace {

// Some of the chunk's tokens.
struct TokenRange {
  size_t first = 0;
  size_t n = 0;
};

class LatentLayer {
 public:
  LatentLayer(const Step& step, uint32_t layer_idx, const LatentAttentionWeights& weights)
      : step_(step),
        layer_idx_(layer_idx),
        p_(step.hp.layers[layer_idx]),
        latent_(p_.latent),
        weights_(weights),
        s_(step.scratch),
        rows_(step.scratch.latent) {}

  // From the normed input: queries or what they are made of, and the latent with the rotated key.
  void ProjectDown() {
    const size_t n = step_.n();
    const tensor::Matrix& first = is_direct() ? weights_.q : weights_.q_down;
    const uint32_t first_dim = is_direct() ? p_.q_dim() : latent_.q_rank;
    float* first_out = is_direct() ? s_.q.data() : rows_.q_down.data();
    const Product products[] = {{first, s_.packed_in.For(first.dtype, 0, n), first_out, first_dim},
                                {weights_.kv_down, s_.packed_in.For(weights_.kv_down.dtype, 0, n),
                                 s_.k.data(), p_.k_dim()}};
    Observe(step_, first, s_.packed_in, n);
    RunProducts(step_, products);
  }

  // The queries, where they are not made directly.
  void ProjectUp() {
    const size_t n = step_.n();
    rows_.packed_q_down.floats = rows_.q_down.data();
    rows_.packed_q_down.k = latent_.q_rank;
    step_.ForEachToken([&](size_t i) {
      float* q = rows_.q_down.data() + i * latent_.q_rank;
      step_.kernels.rms_norm(q, weights_.q_norm.data(), step_.hp.rms_eps, latent_.q_rank, q);
      rows_.packed_q_down.Pack(step_.kernels, i);
    });
    const Product up = {weights_.q, rows_.packed_q_down.For(weights_.q.dtype, 0, n), s_.q.data(),
                        p_.q_dim()};
    Observe(step_, weights_.q, rows_.packed_q_down, n);
    RunProducts(step_, {&up, 1});
  }

  [[nodiscard]] bool is_direct() const { return weights_.q_down.empty(); }

  // To each head's output, in scratch.attended.
  void AttendToLatents() {
    const LayerKv kv(step_, layer_idx_);
    step_.ForEachToken([&](size_t i) { StoreLatent(kv, i); });
    kv.QuantizeFullBlocks();
    if (latent_.joined) {
      ObserveLatents();
    }
    for (size_t first = 0; first < step_.n(); first += kLatentTokens) {
      const TokenRange tokens = {first, std::min<size_t>(kLatentTokens, step_.n() - first)};
      ForEachHead([&](size_t head, size_t thread) { TakeToLatent(head, tokens, thread); });
      if (!latent_.joined) {
        ObserveHeads(weights_.k_up, rows_.packed_q_nope, tokens.n);
      }
      Attend(step_, layer_idx_,
             {.first = tokens.first,
              .n = tokens.n,
              .q = rows_.q_latent.data(),
              .q_stride = size_t{p_.n_heads} * p_.head_dim_k,
              .out = rows_.mixed.data(),
              .out_stride = size_t{p_.n_heads} * latent_.kv_rank});
      ForEachHead([&](size_t head, size_t thread) { MakeValues(head, tokens, thread); });
      if (!latent_.joined) {
        ObserveHeads(weights_.v_up, rows_.packed_mixed, tokens.n);
      }
    }
  }

 private:
  template <class F>
  void ForEachHead(const F& f) {
    rows_.packed_q_nope.floats = rows_.q_nope.data();
    rows_.packed_q_nope.k = latent_.nope_dim;
    rows_.packed_mixed.floats = rows_.mixed.data();
    rows_.packed_mixed.k = latent_.kv_rank;
    step_.team.Run(p_.n_heads, f);
  }

  // Shows an observer each head's rows of the first n tokens.
  void ObserveHeads(const tensor::MatrixStack& readers, const PackedRows& packed, size_t n) const {
    for (size_t head = 0; step_.activations != nullptr && head < p_.n_heads; ++head) {
      step_.activations->OnInput(readers.first, {.matrix_idx = head,
                                                 .rows = packed.floats + head * packed.k,
                                                 .k = packed.k,
                                                 .stride = p_.n_heads * packed.k,
                                                 .n = n});
    }
  }

  // What kv_up is multiplied with where keys and values are made of each latent.
  void ObserveLatents() const {
    if (step_.activations != nullptr) {
      step_.activations->OnInput(
          weights_.kv_up,
          {.rows = s_.k.data(), .k = latent_.kv_rank, .stride = p_.k_dim(), .n = step_.n()});
    }
  }

  // The row of a head in the tables that LatentScratch has.
  [[nodiscard]] size_t RowOf(size_t i, size_t head) const { return i * p_.n_heads + head; }

  // One head's row of each of the first n tokens.
  [[nodiscard]] kernels::Activations HeadRows(const PackedRows& rows, tensor::DType weight,
                                              size_t head, size_t n) const {
    kernels::Activations x = rows.For(weight, head, n);
    x.row_stride *= p_.n_heads;
    return x;
  }

  void Rotate(size_t token, float* x) const {
    const uint32_t n_pairs = latent_.rope_dim / 2;
    step_.kernels.rope(x, s_.angles.cos.data() + token * n_pairs,
                       s_.angles.sin.data() + token * n_pairs, n_pairs, step_.hp.rope.neox);
  }

  // Norms the latent, rotates the key, and writes both to the cache.
  void StoreLatent(const LayerKv& kv, size_t token) {
    float* k = s_.k.data() + token * p_.k_dim();
    step_.kernels.rms_norm(k, weights_.kv_norm.data(), step_.hp.rms_eps, latent_.kv_rank, k);
    Rotate(token, k + latent_.kv_rank);
    kv.Store(token, k, nullptr);
  }

  // One head's queries as [k_up^T x q | rotated q].
  void TakeToLatent(size_t head, TokenRange tokens, size_t thread) {
    const size_t head_dim = latent_.nope_dim + latent_.rope_dim;
    for (size_t i = 0; i < tokens.n; ++i) {
      const float* q = s_.q.data() + (tokens.first + i) * p_.q_dim() + head * head_dim;
      const size_t row = RowOf(i, head);
      std::copy_n(q, latent_.nope_dim, rows_.q_nope.data() + row * latent_.nope_dim);
      float* rotated = rows_.q_latent.data() + row * p_.head_dim_k + latent_.kv_rank;
      std::copy_n(q + latent_.nope_dim, latent_.rope_dim, rotated);
      Rotate(tokens.first + i, rotated);
    }
    if (latent_.joined) {
      SumKeyRows(head, tokens, thread);
      return;
    }
    for (size_t i = 0; i < tokens.n; ++i) {
      rows_.packed_q_nope.Pack(step_.kernels, RowOf(i, head));
    }
    const tensor::Matrix up = weights_.k_up[head];
    step_.kernels.matmul(up, 0, up.rows, HeadRows(rows_.packed_q_nope, up.dtype, head, tokens.n),
                         rows_.q_latent.data() + head * p_.head_dim_k,
                         size_t{p_.n_heads} * p_.head_dim_k, s_.threads[thread].workspace);
  }

  // k_up^T x q where the file has k_up by rows of the key: the sum of its rows, weighted by q.
  void SumKeyRows(size_t head, TokenRange tokens, size_t thread) {
    float* weights = s_.threads[thread].latent_row;
    const auto latent_of = [&](size_t i) {
      return rows_.q_latent.data() + RowOf(i, head) * p_.head_dim_k;
    };
    for (size_t i = 0; i < tokens.n; ++i) {
      std::fill_n(latent_of(i), latent_.kv_rank, 0.0F);
    }
    const uint64_t first = head * (latent_.nope_dim + latent_.v_dim);
    for (uint32_t d = 0; d < latent_.nope_dim; ++d) {
      step_.kernels.dequantize_row(weights_.kv_up, first + d, weights);
      for (size_t i = 0; i < tokens.n; ++i) {
        const float q = rows_.q_nope[RowOf(i, head) * latent_.nope_dim + d];
        step_.kernels.axpy(q, weights, latent_.kv_rank, latent_of(i));
      }
    }
  }

  // One head's output: v_up x its mixture of latents.
  void MakeValues(size_t head, TokenRange tokens, size_t thread) {
    for (size_t i = 0; i < tokens.n; ++i) {
      rows_.packed_mixed.Pack(step_.kernels, RowOf(i, head));
    }
    const tensor::Matrix up = latent_.joined ? JoinedValues(head) : weights_.v_up[head];
    step_.kernels.matmul(
        up, 0, up.rows, HeadRows(rows_.packed_mixed, up.dtype, head, tokens.n),
        s_.attended.data() + tokens.first * p_.attention_dim() + head * latent_.v_dim,
        p_.attention_dim(), s_.threads[thread].workspace);
  }

  // A head's rows of kv_up: its keys', then its values'.
  [[nodiscard]] tensor::Matrix JoinedValues(size_t head) const {
    tensor::Matrix values = weights_.kv_up;
    const uint64_t head_rows = latent_.nope_dim + latent_.v_dim;
    values.data += (head * head_rows + latent_.nope_dim) * values.row_bytes();
    values.rows = latent_.v_dim;
    return values;
  }

  const Step& step_;
  uint32_t layer_idx_;
  const LayerParams& p_;
  const LatentParams& latent_;
  const LatentAttentionWeights& weights_;
  Scratch& s_;
  LatentScratch& rows_;
};

}  // namespace

void LayerPieces::LatentAttention(const LatentAttentionWeights& weights) {
  LatentLayer layer(step_, layer_idx_, weights);
  if (!Use({layer.is_direct() ? &weights.q : &weights.q_down, &weights.kv_down})) {
    return;
  }
  layer.ProjectDown();
  if (!layer.is_direct()) {
    if (!Use({&weights.q})) {
      return;
    }
    layer.ProjectUp();
  }
  if (!Use({&weights.k_up.first, &weights.v_up.first, &weights.kv_up})) {
    return;
  }
  layer.AttendToLatents();
  Scratch& s = step_.scratch;
  s.packed_in.floats = s.attended.data();
  s.packed_in.k = params().attention_dim();
  step_.ForEachToken([&](size_t i) { s.packed_in.Pack(step_.kernels, i); });
  if (Use({&weights.output})) {
    ProjectOutput(weights.output, {});
    branch_pending_ = true;
  }
}

}  // namespace plimsoll::model
