// The arithmetic of a forward pass, as sets of functions: one set an instruction set.
//
// Every set gives the same bits for the same input; docs/numerics.md fixes the order of every
// operation and `ref` is that text as code. Functions here are leaves: they take plain arguments,
// allocate nothing, lock nothing and run on the calling thread. Splitting work over threads is the
// caller's (kernels/team.h); no split changes a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "tensor/kv_panel.h"
#include "tensor/matrix.h"

namespace plimsoll::kernels {

// What a row of activations is turned into before it meets a weight row.
enum class ActivationFormat : uint8_t {
  kF32,     // F32, F16, BF16 weights: as it is
  kQ8x32,   // weights in blocks of 32 or 64: 8-bit integers with one scale per 32
  kQ8x256,  // weights in super-blocks of 256: 8-bit integers with one scale per 256
};

[[nodiscard]] ActivationFormat ActivationFormatFor(tensor::DType weight);
// Bytes of one packed row of k floats; a multiple of 64.
[[nodiscard]] size_t ActivationRowBytes(ActivationFormat format, uint64_t k);

// Packed activation rows. Row i of the operation is row `row_idx[i]` of the storage, so that the
// tokens of one expert are gathered without a copy; without `row_idx` it is row i.
struct Activations {
  ActivationFormat format = ActivationFormat::kF32;
  uint64_t k = 0;
  size_t n_rows = 0;
  size_t row_stride = 0;  // bytes
  const std::byte* data = nullptr;
  const uint32_t* row_idx = nullptr;

  [[nodiscard]] const std::byte* row(size_t i) const {
    return data + (row_idx == nullptr ? i : row_idx[i]) * row_stride;
  }
};

// Keys and values lie in blocks of this many slots; attention merges them block by block.
inline constexpr uint32_t kKvBlockTokens = tensor::kKvPanelTokens;

// Attention reads a block of keys and values once for so many (token, query head) pairs; a call
// with fewer does more work than it needs to.
inline constexpr uint32_t kAttentionTileRows = 64;

// Over quantized keys and values apart, what codes are multiplied by is rounded to integers of so
// many bits beside the sign. Heads of up to kMaxPanelDim channels then have sums of 32 bits.
inline constexpr uint32_t kFactorBits = 14;
inline constexpr uint32_t kMaxPanelDim = 1024;

// Slots [begin, end) are visible to a token, less those whose bit in `mask` is 0. mask[i] belongs
// to slots 32 i .. 32 i + 31 (not relative to begin); null: all.
struct VisibleSlots {
  uint32_t begin = 0;
  uint32_t end = 0;
  const uint32_t* mask = nullptr;
};

// Blocks whose keys and values are in F16 where the others are quantized: of those from `first` on,
// for which there are entries, those whose entries are not null.
struct F16Blocks {
  uint32_t first = 0;
  uint32_t n = 0;
  const std::byte* const* keys = nullptr;    // [n]; the key of slot 0 is k_offset bytes behind, the
  const std::byte* const* values = nullptr;  // next one's head_dim_k elements; [n], null as keys
  size_t k_offset = 0;
  size_t v_offset = 0;
  size_t value_stride = 0;  // bytes from a slot's value to the next one's

  [[nodiscard]] bool Has(uint32_t block) const {
    return block >= first && block - first < n && keys[block - first] != nullptr;
  }
  [[nodiscard]] const std::byte* KeysOf(uint32_t block) const {
    return keys[block - first] + k_offset;
  }
  [[nodiscard]] const std::byte* ValuesOf(uint32_t block) const {
    return values[block - first] + v_offset;
  }
};

// Attention of some tokens of one sequence over one KV head: `n_group` query heads share its keys
// and values. What a token gets does not depend on which others come with it.
struct AttentionArgs {
  uint32_t n_tokens = 1;
  uint32_t n_group = 0;
  uint32_t head_dim_k = 0;
  uint32_t head_dim_v = 0;
  const float* q = nullptr;  // token t: [n_group][head_dim_k] at q + t * q_stride; rope applied,
  size_t q_stride = 0;       // not scaled. In floats
  float scale = 0;           // of the scores
  float logit_softcap = 0;   // 0: none
  const float* sinks = nullptr;  // [n_group]: a further score per head that has no value; or null

  // Slot s is in blocks[s / kKvBlockTokens], in 16 bits: its key at k_offset + (s % kKvBlockTokens)
  // * k_stride bytes, its value at v_offset + (s % kKvBlockTokens) * v_stride bytes. The two may
  // overlap: in absorbed MLA the values are the first dimensions of the keys. Quantized: the panel
  // of the keys is at k_offset, scaled by channel, that of the values at v_offset, scaled by token;
  // or, with values_in_keys, there is one panel at k_offset, scaled by token. Blocks of which no
  // token sees a slot are not touched.
  tensor::KvType type = tensor::KvType::kF16;
  bool values_in_keys = false;  // looked at where they are quantized
  const std::byte* const* blocks = nullptr;
  size_t k_offset = 0;
  size_t v_offset = 0;
  size_t k_stride = 0;
  size_t v_stride = 0;
  F16Blocks f16;                          // instead of those of their indices
  const VisibleSlots* visible = nullptr;  // [n_tokens]

  float* out = nullptr;  // token t: [n_group][head_dim_v] at out + t * out_stride
  size_t out_stride = 0;
  // attention_workspace_bytes(head_dim_k, head_dim_v) bytes, 64-byte aligned, used by no other
  // thread.
  std::byte* workspace = nullptr;
};

// The gated delta rule of one token on kDeltaLanes value dimensions of a head (Yang et al., "Gated
// Delta Networks", arXiv:2412.06464): what the key recalls is replaced by the value, then the query
// recalls. A row of the memory is one dimension of the key.
inline constexpr uint32_t kDeltaLanes = 16;
struct DeltaRuleArgs {
  const float* from = nullptr;   // [key_dim][kDeltaLanes]: the memory before this token
  float* to = nullptr;           // the same behind it; may be `from`
  uint32_t key_dim = 0;          // a multiple of 4
  const float* query = nullptr;  // [key_dim]
  const float* key = nullptr;    // [key_dim]
  const float* value = nullptr;  // [kDeltaLanes]
  float decay = 0;               // of the memory
  float beta = 0;                // how much of what was recalled is replaced
  float* out = nullptr;          // [kDeltaLanes]
};

// One implementation of everything. An object, so that it can be listed, forced, named in logs and
// tested beside the others.
struct KernelSet {
  std::string_view name;         // "avx512"
  std::string_view description;  // "AVX-512 with VNNI"
  bool (*supported)();           // on this CPU

  // Packs k floats into one activation row.
  void (*pack_activation)(ActivationFormat format, const float* x, uint64_t k, std::byte* out);

  // y[i * y_stride + (r - row_begin)] = w row r . x row i, times w's scale, for r in [row_begin,
  // row_end) and i in [0, x.n_rows). x.format is ActivationFormatFor(w.dtype). row_begin is a
  // multiple of 16. `workspace` has matmul_workspace_bytes(w.k) bytes, 64-byte aligned, used by no
  // other thread.
  void (*matmul)(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                 const Activations& x, float* y, size_t y_stride, std::byte* workspace);
  size_t (*matmul_workspace_bytes)(uint64_t k);

  // out[0..k) = row r of w as floats.
  void (*dequantize_row)(const tensor::Matrix& w, uint64_t r, float* out);

  // Several heads of the same tokens: what one gets does not depend on the others. They go through
  // a sequence together, up to kAttentionTileRows rows of them, block by block, so that heads whose
  // keys lie beside one another are read as one stream.
  void (*attention)(const AttentionArgs* heads, size_t n_heads);
  // What attention weighs the slots with, summed over its tokens and over their heads within each:
  // adds it to sums[slot]. There is room for whole blocks; values and `out` play no part.
  void (*attention_weights)(const AttentionArgs& args, float* sums);
  // For both.
  size_t (*attention_workspace_bytes)(uint32_t head_dim_k, uint32_t head_dim_v);

  // y = x / sqrt(mean(x^2) + eps) * weight; y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, uint64_t n, float* y);
  // y[i] = silu(gate[i]) * up[i]; y may be gate or up.
  void (*silu_mul)(const float* gate, const float* up, uint64_t n, float* y);
  // y[i] = g / (1 + exp(-(alpha * g))) * (u + 1) with g = min(gate[i], limit) and u = up[i] within
  // +- limit; y may be gate or up. limit > 0.
  void (*swiglu_clamped)(const float* gate, const float* up, float alpha, float limit, uint64_t n,
                         float* y);
  // y[i] = gelu(gate[i]) * up[i], gelu in its form by tanh; y may be gate or up.
  void (*gelu_mul)(const float* gate, const float* up, uint64_t n, float* y);
  // y[i] += x[i]
  void (*add)(const float* x, uint64_t n, float* y);
  // y[i] = fma(a, x[i], y[i])
  void (*axpy)(float a, const float* x, uint64_t n, float* y);
  // In place, over all n.
  void (*softmax)(float* x, uint64_t n);
  // x[i] = 1 / (1 + exp(-x[i]))
  void (*sigmoid)(float* x, uint64_t n);
  // y[i] = x[i] * sigmoid(gate[i]); y may be gate or x.
  void (*sigmoid_mul)(const float* gate, const float* x, uint64_t n, float* y);
  // y[i] = silu(sum over j of weights[j * stride + i] * inputs[j][i]), j from 0 to width - 1; y may
  // be any of the inputs.
  void (*short_conv)(const float* const* inputs, const float* weights, uint32_t width,
                     size_t stride, uint64_t n, float* y);
  void (*delta_rule)(const DeltaRuleArgs& args);
  // Rounds to nearest even.
  void (*to_f16)(const float* x, uint64_t n, uint16_t* y);
  // Rotates the first 2 * n_pairs values of a head by angle tables of n_pairs values.
  // `neox`: pair i is (x[i], x[i + n_pairs]); otherwise (x[2 i], x[2 i + 1]).
  void (*rope)(float* x, const float* cos, const float* sin, uint32_t n_pairs, bool neox);
};

// Every set that is compiled in, slowest first; `ref` is always there.
[[nodiscard]] std::span<const KernelSet* const> AllKernelSets();
// The fastest set that this CPU supports, or the one named; kUsage names the ones there are.
[[nodiscard]] Result<const KernelSet*> SelectKernelSet(std::string_view name = {});

}  // namespace plimsoll::kernels
