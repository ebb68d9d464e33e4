// The memory that a chunk of tokens needs on its way through the layers. Laid out once; no step
// allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "memory/buffer.h"
#include "model/hyper_params.h"
#include "model/weights.h"

namespace plimsoll::model {

// Logits are made and handed out for this many tokens at a time, so that a long prompt whose every
// token is wanted does not need tokens x vocabulary floats.
inline constexpr uint32_t kLogitRows = 16;
// Tokens whose queries latent attention takes to the latent at a time: there a head is several
// times as wide as its query.
inline constexpr uint32_t kLatentTokens = 64;
// Rows of an expert's projections that one task makes for all its tokens, at the least: of gate
// and up as many as can be packed by themselves.
inline constexpr uint64_t kGateUpRows = 256;
inline constexpr uint64_t kDownRows = 64;
// Up to so many tokens the results of each expert's down projection are kept until they are added.
inline constexpr uint32_t kFewTokens = 4;

// Which packed forms the model's weights read.
struct PackedFormats {
  bool q8x32 = false;
  bool q8x256 = false;
};

struct ScratchShape {
  uint32_t max_tokens = 0;  // of a chunk
  uint32_t n_threads = 0;
  PackedFormats formats;
  uint64_t embedding_row_bytes = 0;
  // Elements of a token's keys and values in the widest layer whose cache is quantized.
  uint64_t quantized_keys = 0;
  uint64_t quantized_values = 0;
  size_t (*matmul_workspace_bytes)(uint64_t k) = nullptr;
  size_t (*attention_workspace_bytes)(uint32_t head_dim_k, uint32_t head_dim_v) = nullptr;
};

// Rows of floats and their packed forms, made once and read by every matrix that wants them.
struct PackedRows {
  const float* floats = nullptr;  // [n][k]
  uint64_t k = 0;
  std::byte* q8x32 = nullptr;  // null: not used by this model
  std::byte* q8x256 = nullptr;

  // Packs row i in every form that is used and that k allows.
  void Pack(const kernels::KernelSet& kernels, size_t i) const { PackPart(kernels, i, 0, k); }
  // The same for elements [first, last), where last is k or, like first, a multiple of 256.
  void PackPart(const kernels::KernelSet& kernels, size_t i, uint64_t first, uint64_t last) const;
  // Rows [first, first + n), or rows row_idx[0..n) when it is given, as `weight` reads them.
  [[nodiscard]] kernels::Activations For(tensor::DType weight, size_t first, size_t n,
                                         const uint32_t* row_idx = nullptr) const;
};

// Of latent attention; m is min(n, kLatentTokens), a row is one head of one token, token by token.
struct LatentScratch {
  std::span<float> q_down;    // [n][q_rank]
  std::span<float> q_nope;    // [m * n_heads][nope_dim]
  std::span<float> q_latent;  // [m * n_heads][kv_rank + rope_dim]
  std::span<float> mixed;     // [m * n_heads][kv_rank]: latents, weighted by attention
  PackedRows packed_q_down, packed_q_nope, packed_mixed;
};

// Tokens of a chunk that follow one another in a sequence.
struct TokenRun {
  size_t first = 0;
  size_t n = 0;
};

// Of recurrent layers.
struct DeltaScratch {
  std::span<float> qkv;          // [n][conv_dim]
  std::span<float> gate;         // [n][v_dim]
  std::span<float> beta, alpha;  // [n][n_v_heads]
  std::span<float> joined;       // [n][2 n_v_heads]
  // [head_dim]: weights of norms, which make a query's length 1 / sqrt(head_dim) and a key's 1.
  std::span<float> q_norm, k_norm;
  std::span<float> zeros;    // [head_dim]
  std::span<TokenRun> runs;  // [n]
};

// Of each token's position; n_pairs of a rope table.
struct RopeAngles {
  std::span<float> cos, sin;  // [n][n_pairs]
};

struct ThreadScratch {
  std::byte* workspace = nullptr;  // matmul's and attention's
  std::span<float> tile;           // max_tokens * kDownRows
  float* latent_row = nullptr;     // [kv_rank]
};

// Tokens of a chunk that follow one another in a sequence and attend together.
struct AttentionTile {
  size_t first = 0;
  size_t n = 0;
  uint64_t n_slots = 0;  // that they see, all together
};

// Which experts a chunk's tokens chose. A pair is one token with one of its experts; pairs are
// ordered by expert, then token.
struct Routing {
  std::span<float> scores;  // [n][n_experts]
  // Working space of each token's choice (ChoiceSpace).
  std::span<float> selection;          // [n][n_experts]
  std::span<float> group_scores;       // [n][n_groups]
  std::span<uint32_t> groups;          // [n][n_groups_used]
  std::span<uint32_t> chosen;          // [n][n_experts_active], ascending ids
  std::span<float> chosen_weights;     // same shape
  std::span<uint32_t> pair_token;      // [pairs]
  std::span<float> pair_weight;        // [pairs], of what experts give ...
  std::span<float> pair_input_weight;  // [pairs], ... and of what they read; empty: 1
  std::span<uint32_t> active;          // ids of the experts that have pairs, ascending
  std::span<uint32_t> active_begin;    // first pair of each of these, and the number of pairs
  std::span<ExpertMatrices> matrices;  // of each of these, once they are in memory
  std::span<uint32_t> counts;          // [n_experts], working space
  std::span<uint32_t> in_order;        // [n_experts]: 0, 1, 2, ...
  size_t n_active = 0;
};

struct Scratch {
  std::span<float> x;            // [n][hidden_dim]: the residual stream
  std::span<float> branch;       // [n][hidden_dim]: what the present branch adds to it
  std::span<float> kept_branch;  // [n][hidden_dim]: a branch that waits for another
  std::span<float> normed;       // [n][hidden_dim]
  std::span<float> q, k, v;      // [n][q_row()], [n][heads * head_dim]
  std::span<float> gates;        // [n][heads * head_dim]: what comes with queries that are gated
  std::span<float> attended;     // [n][n_heads * head_dim_v], or of a delta net [n][v_dim]
  // Of a layer whose cache is quantized, in F16: blocks that a pass fills (LayerKv).
  std::span<uint16_t> block_keys, block_values;
  std::span<uint32_t> last_of_blocks;        // [n], where there are such layers
  std::span<kernels::VisibleSlots> visible;  // [n]
  std::span<AttentionTile> attention_tiles;  // [n]
  std::span<float> gate, up;                 // [pairs][expert_ff_dim]
  std::span<float> shared_gate, shared_up;   // [n][shared_ff_dim]
  std::span<float> shared_scale;             // [n]
  std::span<float> expert_out;               // [pairs of few tokens][hidden_dim]
  std::span<float> shared_out;               // [few tokens][hidden_dim]
  // How many of the tasks that make a run of rows are done, 0 between stages; for the routed
  // experts' and the shared one's gate and up projections, and for the down projections.
  std::span<uint32_t> gate_up_done, shared_gate_up_done, down_done;
  std::span<float> ones;  // of the widest head: the weights of norms that have none
  RopeAngles angles;
  RopeAngles window_angles;                        // HyperParams::window_rope
  std::span<float> logits;                         // [kLogitRows][vocab_size]
  std::span<std::byte> embedding_row;              // as its file has it
  PackedRows packed_in, packed_ff, packed_shared;  // memory only; floats and k are set where used
  LatentScratch latent;
  // HyperParams::layer_input_dim.
  std::span<float> layer_inputs;  // [n][n_layers][layer_input_dim]
  std::span<float> input_rows;    // the same shape: of the embedding
  std::span<float> input_gate;    // [n][layer_input_dim]
  PackedRows packed_input;
  DeltaScratch delta;
  // Look-ahead: the next layer's input and its router's scores, as far as they are known.
  std::span<float> ahead_normed;     // [few tokens][hidden_dim]
  std::span<float> ahead_scores;     // [few tokens][n_experts]
  std::span<float> ahead_best;       // [n_experts]: the best of all tokens
  std::span<uint32_t> ahead_ranked;  // [n_experts]
  Routing routing;
  std::span<ThreadScratch> threads;

  // Lays everything out for `hp` in what `carver` has (or counts it).
  static Scratch Lay(const HyperParams& hp, const ScratchShape& shape, memory::Carver& carver);
};

}  // namespace plimsoll::model
