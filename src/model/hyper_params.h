// A model's shape and variants, as data: nothing behind this header asks for a model's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"

namespace plimsoll::model {

enum class RopeScaling { kNone, kLinear, kNtk, kYarn, kLlama3, kLongRope };

struct RopeParams {
  uint32_t n_dims = 0;  // rotated dimensions of a head; fewer than the head has: partial rotary
  double theta = 10000.0;
  bool neox = true;  // pairs are halves apart; otherwise neighbours
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;  // of the context's extension
  uint32_t n_ctx_original = 0;
  bool has_factors = false;       // the file must have a tensor of divisors of its frequencies
  double attention_factor = 1.0;  // of the rotated vectors' lengths, ...
  // YaRN
  bool lengthens = true;  // ... which it also multiplies by 1 + 0.1 ln(factor)
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  // Llama 3, where the factors are not a tensor of the file
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
};

// What an expert's weight is made from. kSoftmaxOfChosen chooses by the logits themselves and takes
// the softmax over the chosen experts alone.
enum class RouterScore { kSoftmax, kSigmoid, kSoftmaxOfChosen };

struct RouterParams {
  RouterScore score = RouterScore::kSoftmax;
  bool normalize = false;     // the chosen experts' weights sum to 1
  float scale = 1.0F;         // on the weights, last
  float logit_scale = 1.0F;   // of the router matrix's results
  bool weighs_input = false;  // they multiply what experts read, not what these give
  // Experts are in n_groups equal groups of neighbouring ids; only those of the n_groups_used best
  // groups may be chosen. 1: no groups.
  uint32_t n_groups = 1;
  uint32_t n_groups_used = 1;
};

// Of a feed-forward: silu(gate) * up; both clamped first, KernelSet::swiglu_clamped; gelu(gate) *
// up.
enum class Activation { kSwiglu, kSwigluClamped, kGelu };

// Queries are lengthened with their position: times
// 1 + scale * ln(1 + floor((position + offset) / length)).
struct QueryTemperature {
  double scale = 0;  // 0: they are not
  uint32_t length = 1;
  uint32_t offset = 0;
};

// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values of all heads are
// made from one short vector per token, and that is what is cached.
struct LatentParams {
  uint32_t kv_rank = 0;   // of the latent; 0: the layer has plain attention
  uint32_t q_rank = 0;    // queries are made through so many dimensions; 0: directly
  uint32_t nope_dim = 0;  // dimensions of a head's query and key that are not rotated, ...
  uint32_t rope_dim = 0;  // ... and that are; the rotated part of the key is one for all heads
  uint32_t v_dim = 0;     // of a head's value
  bool joined = false;    // older files: one matrix makes the keys and values of all heads
};

// The gated delta net of recurrent layers (Yang et al., arXiv:2412.06464): instead of keys and
// values each value head has a memory of key_dim x value_dim numbers. Several value heads share the
// query and key of one key head.
struct DeltaParams {
  uint32_t conv_width = 0;  // tokens that the convolution over queries, keys and values sees
  uint32_t n_k_heads = 0;
  uint32_t n_v_heads = 0;
  uint32_t head_dim = 0;  // of queries, keys and values
  // Value heads of one key head are n_k_heads apart; otherwise they are neighbours.
  bool tiled = false;

  [[nodiscard]] uint32_t k_dim() const { return n_k_heads * head_dim; }
  [[nodiscard]] uint32_t v_dim() const { return n_v_heads * head_dim; }
  // What goes through the convolution: queries, keys and values of all heads.
  [[nodiscard]] uint32_t conv_dim() const { return 2 * k_dim() + v_dim(); }
  [[nodiscard]] uint32_t k_head_of(uint32_t v_head) const {
    return tiled ? v_head % n_k_heads : v_head / (n_v_heads / n_k_heads);
  }
};

// Layers may differ from one another in each of these.
struct LayerParams {
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;
  uint32_t head_dim_k = 0;  // of what is cached, as are n_kv_heads and head_dim_v
  uint32_t head_dim_v = 0;
  LatentParams latent;
  // A delta net instead of attention (HyperParams::delta); then there are no heads.
  bool recurrent = false;
  // Each head's query comes with a gate, as wide, on what the head attends to.
  bool gated = false;
  uint32_t window = 0;  // a position sees itself and the window - 1 before it; 0: all
  // Queries attend to the keys and values of this layer before it, and it makes none of its own;
  // unset: to its own. n_kv_heads, head_dim_k and head_dim_v are that layer's.
  std::optional<uint32_t> kv_of;
  // Instead of a window: it sees those from the last multiple of this on; 0: all.
  uint32_t chunk = 0;
  bool has_rope = true;           // queries and keys are rotated
  bool has_unit_heads = false;    // and then each of their heads is RMS-normed, without weights
  bool has_unit_values = false;   // so are those of values
  bool lengthens_queries = true;  // by HyperParams::temperature
  // A dense feed-forward is one expert that is always active.
  uint32_t n_experts = 1;
  uint32_t n_experts_active = 1;
  uint32_t expert_ff_dim = 0;
  uint32_t shared_ff_dim = 0;     // width of the shared expert; 0: none
  bool shared_is_beside = false;  // it is a feed-forward of its own: LayerWeights::beside

  // Widths of the projections to queries, keys and values, and of what the output is made from.
  [[nodiscard]] uint32_t q_dim() const {
    return n_heads * (is_latent() ? latent.nope_dim + latent.rope_dim : head_dim_k);
  }
  // Of a row of the projection to queries: with their gates.
  [[nodiscard]] uint32_t q_row() const { return gated ? 2 * q_dim() : q_dim(); }
  [[nodiscard]] uint32_t k_dim() const { return n_kv_heads * head_dim_k; }
  [[nodiscard]] uint32_t v_dim() const { return is_latent() ? 0 : n_kv_heads * head_dim_v; }
  [[nodiscard]] uint32_t attention_dim() const {
    return n_heads * (is_latent() ? latent.v_dim : head_dim_v);
  }
  // The first position that this one sees.
  [[nodiscard]] uint32_t FirstSeen(uint32_t position) const {
    if (chunk != 0) {
      return position / chunk * chunk;
    }
    return window == 0 || position < window ? 0 : position - window + 1;
  }
  // Whether some position of so many does not see all before it.
  [[nodiscard]] bool ForgetsWithin(uint32_t n_ctx) const {
    return (window != 0 && window < n_ctx) || (chunk != 0 && chunk < n_ctx);
  }
  [[nodiscard]] bool is_latent() const { return latent.kv_rank != 0; }
  [[nodiscard]] bool is_moe() const { return n_experts > 1; }
};

struct HyperParams {
  std::string architecture;
  std::string name;
  uint32_t n_layers = 0;
  uint32_t hidden_dim = 0;
  uint32_t vocab_size = 0;
  uint32_t n_ctx_train = 0;
  float rms_eps = 0;
  float attention_scale = 0;  // of the scores; 0: 1 / sqrt(head_dim_k)
  float clamp_qkv = 0;        // q, k and v are clamped to +- this; 0: not
  float embedding_scale = 1;  // of a token's row, before the first layer
  float residual_scale = 1;   // of what attention and feed-forward add to the stream
  float logit_scale = 1;      // of the output matrix's results, ...
  float logit_cap = 0;        // ... which then tend to +- this, as c tanh(x / c) does; 0: not
  // Of what each layer is given of its token beside the stream; 0: nothing.
  uint32_t layer_input_dim = 0;
  RopeParams rope;
  std::optional<RopeParams> window_rope;  // of layers with a window; unset: as the others
  QueryTemperature temperature;
  RouterParams router;
  Activation activation = Activation::kSwiglu;
  float swiglu_alpha = 0;  // of kSwigluClamped
  float swiglu_limit = 0;
  DeltaParams delta;  // of recurrent layers
  std::vector<LayerParams> layers;

  [[nodiscard]] bool has_window_rope(uint32_t layer_idx) const {
    return window_rope.has_value() && layers[layer_idx].window != 0;
  }
};

// Reads what GGUF's conventions name alike for every architecture (keys "<architecture>.…") and
// checks that the numbers make sense together. kBadModel names the key.
[[nodiscard]] Result<HyperParams> ReadHyperParams(const formats::Catalogue& catalogue);

}  // namespace plimsoll::model
