// What a random model looks like: architecture, weight type, dimensions and variants.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tensor/dtype.h"

namespace plimsoll::random_model {

enum class RopeScaling : uint8_t { kNone, kLinear, kNtk, kYarn, kLlama3, kLongRope };
enum class RouterGating : uint8_t { kSoftmax = 1, kSigmoid = 2 };  // GGUF's expert_gating_func

struct ModelSpec {
  std::string arch = "qwen3moe";
  tensor::DType type = tensor::DType::kQ8_0;  // of every matrix but the router

  uint32_t n_layers = 2;
  uint32_t hidden_dim = 512;
  uint32_t n_heads = 8;
  uint32_t n_kv_heads = 4;
  uint32_t head_dim = 64;
  uint32_t ffn_dim = 768;  // of a dense layer
  uint32_t n_experts = 8;  // llama and gemma4 may have 0: dense
  uint32_t n_experts_active = 2;
  uint32_t expert_ffn_dim = 256;
  uint32_t shared_ffn_dim = 512;  // qwen2moe, qwen3next, qwen35moe; granitemoe, 0: none
  // qwen3next, qwen35, qwen35moe: of so many layers the last has attention, the others delta nets.
  uint32_t full_attention_interval = 2;
  uint32_t conv_width = 4;
  uint32_t delta_head_dim = 32;
  uint32_t n_delta_k_heads = 4;
  uint32_t n_delta_v_heads = 8;
  // deepseek2; the layers' kinds and shared experts dots1's and glm4moe's too. head_dim is the
  // width of values and of the part of keys that is not rotated.
  uint32_t q_rank = 256;        // 0: queries are made directly
  uint32_t kv_rank = 256;       // of the latent that is cached
  uint32_t n_dense_layers = 1;  // the first ones
  uint32_t n_shared_experts = 2;
  uint32_t moe_step = 2;  // llama4: the last layer of so many has experts
  // gemma4: every second layer has no window, heads of twice the width and half as many KV heads.
  uint32_t n_shared_kv_layers = 0;   // the last ones, that make no keys and values
  bool values_of_keys = false;       // layers without a window make no values of their own
  uint32_t layer_input_dim = 0;      // of each layer's part of an embedding; 0: none
  bool joined_experts = false;       // one stack of gate and up projections
  float logit_cap = 0;               // gemma3, gemma4; 0: no key
  uint32_t n_prediction_layers = 0;  // glm4moe, qwen35moe: behind the others
  bool joined_kv = false;            // one matrix for keys and values, as in older files
  bool selection_bias = false;
  uint32_t n_expert_groups = 0;  // 0: none
  uint32_t n_expert_groups_used = 0;
  uint32_t vocab_size = 1024;
  uint32_t n_ctx_train = 4096;

  bool tied_output = false;        // the output matrix is the token embedding
  std::optional<bool> qkv_biases;  // unset: where the architecture has them
  uint32_t sliding_window = 0;     // 0: none, but 16 for gpt-oss, gemma3 and gemma4
  uint32_t chunk = 0;              // llama4: that attention stays within; 0: no key
  float norm_eps = 1e-6F;

  float rope_theta = 10000;
  uint32_t rope_dims = 0;  // 0: the whole head; deepseek2: beside the head, 0: half as many
  RopeScaling rope_scaling = RopeScaling::kNone;
  float rope_factor = 4;
  uint32_t rope_n_ctx_original = 1024;
  std::optional<float> rope_log_multiplier;  // YaRN of deepseek2 and mistral3
  float temperature_scale = 0;               // mistral3, llama4; 0: no key
  uint32_t temperature_length = 0;           // llama4; 0: no key

  // Unset: the architecture's own, and no key in the file.
  std::optional<RouterGating> router_gating;
  std::optional<bool> router_renormalise;
  std::optional<float> router_weights_scale;

  double router_std = 1.5;   // of the router's logits
  double router_spread = 0;  // above 0: some experts' logits spread wider, so they are chosen more
  double logit_std = 3;      // of the output logits
  double attention_std = 1.5;  // of the attention scores
  // How much attention and feed-forward add to the residual stream. At 1 it is mostly theirs after
  // a layer; trained models, and models on which engines' rounding can be compared without routers
  // flipping, are calmer.
  double branch_gain = 0.5;
  uint64_t seed = 1;

  [[nodiscard]] bool is_moe() const;
  [[nodiscard]] bool has_qkv_biases() const;
  [[nodiscard]] bool has_latent() const { return arch == "deepseek2"; }
  // Factors that an architecture applies, as its files have them. The weights make up for them, so
  // that streams, scores and logits spread as they do without.
  [[nodiscard]] bool has_scales() const { return arch == "granite" || arch == "granitemoe"; }
  [[nodiscard]] double embedding_scale() const;
  [[nodiscard]] double residual_scale() const { return has_scales() ? 0.22 : 1; }
  [[nodiscard]] double logit_divisor() const { return has_scales() ? 6 : 1; }
  [[nodiscard]] double attention_scale() const;
  [[nodiscard]] uint32_t n_rope_dims() const {
    if (rope_dims == 0 && is_hybrid()) {
      return head_dim / 4;
    }
    const bool half = has_latent() || arch == "minimax-m2" || arch == "glm4moe";
    return rope_dims != 0 ? rope_dims : half ? head_dim / 2 : head_dim;
  }
  [[nodiscard]] bool is_hybrid() const {
    return arch == "qwen3next" || arch == "qwen35" || arch == "qwen35moe";
  }
  [[nodiscard]] bool is_recurrent_layer(uint32_t layer) const {
    return is_hybrid() && layer < n_layers && (layer + 1) % full_attention_interval != 0;
  }
  [[nodiscard]] uint32_t delta_k_dim() const { return n_delta_k_heads * delta_head_dim; }
  [[nodiscard]] uint32_t delta_v_dim() const { return n_delta_v_heads * delta_head_dim; }
  // Built as DeepSeek's models are: dense layers first, shared experts as wide as the routed ones.
  [[nodiscard]] bool has_dense_layers() const {
    return has_latent() || arch == "dots1" || arch == "glm4moe";
  }
  [[nodiscard]] bool is_dense_layer(uint32_t layer) const {
    const bool is_between = arch == "llama4" && (layer + 1) % moe_step != 0;
    return !is_moe() || is_between || (has_dense_layers() && layer < n_dense_layers);
  }
  [[nodiscard]] bool has_selection_bias() const {
    return selection_bias || arch == "minimax-m2" || arch == "glm4moe";
  }
  // One matrix makes queries, keys and values, and one gate and up.
  [[nodiscard]] bool has_joined_matrices() const { return arch == "phi3"; }
  // Norms of what attention and feed-forward give.
  [[nodiscard]] bool has_post_norms() const { return arch == "gemma3" || is_gemma4(); }
  // The norm before the feed-forward.
  [[nodiscard]] std::string_view feed_forward_norm() const {
    return arch == "gpt-oss" || arch == "glm4moe" || is_hybrid() ? "post_attention_norm.weight"
                                                                 : "ffn_norm.weight";
  }
  // Biases of the attention output and of everything in the feed-forward.
  [[nodiscard]] bool has_all_biases() const { return arch == "gpt-oss"; }
  [[nodiscard]] bool is_gemma4() const { return arch == "gemma4"; }
  [[nodiscard]] bool is_wide_layer(uint32_t layer) const { return is_gemma4() && layer % 2 == 1; }
  [[nodiscard]] uint32_t head_dim_of(uint32_t layer) const {
    return is_wide_layer(layer) ? 2 * head_dim : head_dim;
  }
  [[nodiscard]] uint32_t n_kv_heads_of(uint32_t layer) const {
    return is_wide_layer(layer) ? (n_kv_heads + 1) / 2 : n_kv_heads;
  }
  [[nodiscard]] bool makes_keys(uint32_t layer) const {
    return layer + n_shared_kv_layers < n_layers + n_prediction_layers;
  }
  [[nodiscard]] bool makes_values(uint32_t layer) const {
    return makes_keys(layer) && !(values_of_keys && is_wide_layer(layer));
  }
  [[nodiscard]] bool has_sinks() const { return arch == "gpt-oss"; }
  [[nodiscard]] uint32_t window() const {
    const bool has_own = arch == "gpt-oss" || arch == "gemma3" || is_gemma4();
    return sliding_window == 0 && has_own ? 16 : sliding_window;
  }
  // One norm a head, or one across all heads.
  [[nodiscard]] bool has_head_norm() const;
  [[nodiscard]] bool has_full_width_norm() const { return arch == "olmoe" || arch == "minimax-m2"; }
  [[nodiscard]] bool has_gated_shared_expert() const {
    return arch == "qwen2moe" || arch == "qwen3next" || arch == "qwen35moe";
  }
  // Its width.
  [[nodiscard]] bool has_shared_expert() const { return shared_dim() != 0; }
  [[nodiscard]] uint32_t shared_dim() const {
    return has_gated_shared_expert() || arch == "granitemoe" ? shared_ffn_dim
           : arch == "llama4"                                ? expert_ffn_dim
           : is_gemma4()                                     ? ffn_dim
           : has_dense_layers()                              ? n_shared_experts * expert_ffn_dim
                                                             : 0;
  }
};

[[nodiscard]] std::span<const std::string_view> Architectures();
[[nodiscard]] std::span<const std::string_view> PresetNames();

// Sets the dimensions of a preset; kUsage names the presets there are.
//   tiny        a few megabytes at F32 or less: for tests
//   olmoe-like  OLMoE-1B-7B's shape
//   1gb         OLMoE's layers at a size that makes about 1 GB in Q8_0
[[nodiscard]] Result<> ApplyPreset(std::string_view name, ModelSpec& spec);

// kUsage names the first thing about the spec that makes no model.
[[nodiscard]] Result<> Check(const ModelSpec& spec);

}  // namespace plimsoll::random_model
