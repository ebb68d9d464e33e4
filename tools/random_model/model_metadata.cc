#include "tools/random_model/model_metadata.h"

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "tools/random_model/bpe_vocabulary.h"

namespace plimsoll::random_model {
namespace {

using formats::Array;
using formats::Metadata;
using formats::Value;
using formats::ValueType;

// The number under general.file_type for "mostly this type" (llama.h, enum llama_ftype).
uint32_t FileType(tensor::DType type) {
  switch (type) {
    case tensor::DType::kF32:
      return 0;
    case tensor::DType::kF16:
      return 1;
    case tensor::DType::kQ4_0:
      return 2;
    case tensor::DType::kQ4_1:
      return 3;
    case tensor::DType::kQ8_0:
      return 7;
    case tensor::DType::kQ5_0:
      return 8;
    case tensor::DType::kQ5_1:
      return 9;
    case tensor::DType::kQ2_K:
      return 10;
    case tensor::DType::kQ3_K:
      return 12;
    case tensor::DType::kQ4_K:
      return 15;
    case tensor::DType::kQ5_K:
      return 17;
    case tensor::DType::kQ6_K:
      return 18;
    case tensor::DType::kIQ4_NL:
      return 25;
    case tensor::DType::kIQ4_XS:
      return 30;
    case tensor::DType::kBF16:
      return 32;
    case tensor::DType::kIQ2_XXS:
      return 19;
    case tensor::DType::kIQ2_XS:
      return 20;
    case tensor::DType::kIQ3_XXS:
      return 23;
    case tensor::DType::kIQ1_S:
      return 24;
    case tensor::DType::kIQ3_S:
      return 26;
    case tensor::DType::kIQ2_S:
      return 28;
    case tensor::DType::kIQ1_M:
      return 31;
    case tensor::DType::kTQ1_0:
      return 36;
    case tensor::DType::kTQ2_0:
      return 37;
    case tensor::DType::kMXFP4:
      return 38;
    case tensor::DType::kNVFP4:
      return 39;
  }
  return 0;
}

// Older files, with joined keys and values, give the widths of heads; newer ones those of what is
// cached, as one KV head, and the heads' beside them.
void SetLatent(const ModelSpec& spec, const std::string& key, Metadata& metadata) {
  const uint32_t rope = spec.n_rope_dims();
  metadata.SetU32(key + "q_lora_rank", spec.q_rank);
  metadata.SetU32(key + "kv_lora_rank", spec.kv_rank);
  const std::string suffix = spec.joined_kv ? "" : "_mla";
  metadata.SetU32(key + "key_length" + suffix, spec.head_dim + rope);
  metadata.SetU32(key + "value_length" + suffix, spec.head_dim);
  metadata.SetU32(key + "head_count_kv", spec.joined_kv ? spec.n_heads : 1);
  if (!spec.joined_kv) {
    metadata.SetU32(key + "key_length", spec.kv_rank + rope);
    metadata.SetU32(key + "value_length", spec.kv_rank);
  }
}

// The common keys are those of layers without a window.
void SetTwoKinds(const ModelSpec& spec, const std::string& key, Metadata& metadata) {
  std::vector<bool> has_window;
  std::vector<int64_t> n_kv_heads;
  for (uint32_t i = 0; i < spec.n_layers; ++i) {
    has_window.push_back(!spec.is_wide_layer(i));
    n_kv_heads.push_back(spec.n_kv_heads_of(i));
  }
  metadata.Set(key + "sliding_window_pattern",
               {ValueType::kArray, Array{ValueType::kBool, std::move(has_window)}});
  metadata.Set(key + "head_count_kv",
               {ValueType::kArray, Array{ValueType::kU32, std::move(n_kv_heads)}});
  metadata.SetU32(key + "key_length", spec.head_dim_of(1));
  metadata.SetU32(key + "value_length", spec.head_dim_of(1));
  metadata.SetU32(key + "key_length_swa", spec.head_dim);
  metadata.SetU32(key + "value_length_swa", spec.head_dim);
  metadata.SetU32(key + "shared_kv_layers", spec.n_shared_kv_layers);
}

void SetAttention(const ModelSpec& spec, Metadata& metadata) {
  const std::string key = spec.arch + ".attention.";
  metadata.SetU32(key + "head_count", spec.n_heads);
  if (spec.is_gemma4()) {
    SetTwoKinds(spec, key, metadata);
  } else if (spec.has_latent()) {
    SetLatent(spec, key, metadata);
  } else {
    metadata.SetU32(key + "head_count_kv", spec.n_kv_heads);
    metadata.SetU32(key + "key_length", spec.head_dim);
    metadata.SetU32(key + "value_length", spec.head_dim);
  }
  metadata.SetF32(key + "layer_norm_rms_epsilon", spec.norm_eps);
  if (spec.has_scales()) {
    metadata.SetF32(key + "scale", static_cast<float>(spec.attention_scale()));
  }
  if (spec.temperature_scale != 0) {
    metadata.SetF32(key + "temperature_scale", spec.temperature_scale);
  }
  if (spec.temperature_length != 0) {
    metadata.SetU32(key + "temperature_length", spec.temperature_length);
  }
  if (spec.chunk != 0) {
    metadata.SetU32(key + "chunk_size", spec.chunk);
  }
  if (spec.window() > 0) {
    metadata.SetU32(key + "sliding_window", spec.window());
  }
}

// Empty where no key says it: Llama 3's scaling is a tensor, LongRoPE two of them.
std::string_view RopeScalingName(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::kLinear:
      return "linear";
    case RopeScaling::kNtk:
      return "ntk";
    case RopeScaling::kYarn:
      return "yarn";
    case RopeScaling::kNone:
    case RopeScaling::kLlama3:
    case RopeScaling::kLongRope:
      return "";
  }
  return "";
}

void SetRope(const ModelSpec& spec, Metadata& metadata) {
  const std::string key = spec.arch + ".rope.";
  metadata.SetU32(key + "dimension_count",
                  spec.is_gemma4() ? spec.head_dim_of(1) : spec.n_rope_dims());
  if (spec.is_gemma4()) {
    metadata.SetU32(key + "dimension_count_swa", spec.n_rope_dims());
    metadata.SetF32(key + "freq_base_swa", 10000);
  }
  metadata.SetF32(key + "freq_base", spec.rope_theta);
  if (spec.rope_scaling == RopeScaling::kLongRope) {
    metadata.SetU32(key + "scaling.original_context_length", spec.rope_n_ctx_original);
    metadata.SetF32(key + "scaling.attn_factor", 1.19F);  // Phi-3.5's
  }
  const std::string_view name = RopeScalingName(spec.rope_scaling);
  if (!name.empty()) {
    metadata.SetString(key + "scaling.type", std::string(name));
    metadata.SetF32(key + "scaling.factor", spec.rope_factor);
    metadata.SetU32(key + "scaling.original_context_length", spec.rope_n_ctx_original);
    if (spec.rope_log_multiplier) {
      metadata.SetF32(key + "scaling.yarn_log_multiplier", *spec.rope_log_multiplier);
    }
  }
}

// Three sections of the rotated pairs, which turn alike in text, and an empty fourth.
void SetRopeSections(const ModelSpec& spec, Metadata& metadata) {
  const auto n_pairs = static_cast<int64_t>(spec.n_rope_dims() / 2);
  const int64_t third = (n_pairs + 2) / 3;
  metadata.Set(
      spec.arch + ".rope.dimension_sections",
      {ValueType::kArray,
       Array{ValueType::kI32, std::vector<int64_t>{third, third, n_pairs - 2 * third, 0}}});
}

void SetDeltaNet(const ModelSpec& spec, Metadata& metadata) {
  const std::string key = spec.arch + ".";
  metadata.SetU32(key + "ssm.conv_kernel", spec.conv_width);
  metadata.SetU32(key + "ssm.state_size", spec.delta_head_dim);
  metadata.SetU32(key + "ssm.group_count", spec.n_delta_k_heads);
  metadata.SetU32(key + "ssm.time_step_rank", spec.n_delta_v_heads);
  metadata.SetU32(key + "ssm.inner_size", spec.delta_v_dim());
  metadata.SetU32(key + "full_attention_interval", spec.full_attention_interval);
  if (spec.arch != "qwen3next") {
    SetRopeSections(spec, metadata);
  }
}

// Those give their experts' width as the feed-forward length.
bool HasOneWidth(const ModelSpec& spec) {
  return spec.is_moe() && (spec.arch == "llama" || spec.arch == "olmoe" ||
                           spec.arch == "granitemoe" || spec.arch == "minimax-m2");
}

void SetExperts(const ModelSpec& spec, Metadata& metadata) {
  const std::string key = spec.arch + ".expert_";
  metadata.SetU32(key + "count", spec.n_experts);
  metadata.SetU32(key + "used_count", spec.n_experts_active);
  if (!HasOneWidth(spec) || spec.arch == "minimax-m2") {
    metadata.SetU32(key + "feed_forward_length", spec.expert_ffn_dim);
  }
  if (spec.has_dense_layers()) {
    metadata.SetU32(key + "shared_count", spec.n_shared_experts);
    metadata.SetU32(spec.arch + ".leading_dense_block_count", spec.n_dense_layers);
  }
  if (spec.arch == "llama4") {
    metadata.SetU32(spec.arch + ".interleave_moe_layer_step", spec.moe_step);
  }
  if (spec.n_expert_groups != 0) {
    metadata.SetU32(key + "group_count", spec.n_expert_groups);
    metadata.SetU32(key + "group_used_count", spec.n_expert_groups_used);
  }
  if (spec.has_gated_shared_expert() || (spec.arch == "granitemoe" && spec.has_shared_expert())) {
    metadata.SetU32(key + "shared_feed_forward_length", spec.shared_ffn_dim);
  }
  if (spec.router_gating) {
    metadata.SetU32(key + "gating_func", static_cast<uint32_t>(*spec.router_gating));
  }
  if (spec.router_renormalise) {
    metadata.SetBool(key + "weights_norm", *spec.router_renormalise);
  }
  if (spec.router_weights_scale) {
    metadata.SetF32(key + "weights_scale", *spec.router_weights_scale);
  }
}

Value StringArray(std::vector<std::string> strings) {
  return {ValueType::kArray, Array{ValueType::kString, std::move(strings)}};
}

void SetTokenizer(const ModelSpec& spec, Metadata& metadata) {
  BpeVocabulary vocabulary = MakeBpeVocabulary(spec.vocab_size);
  const std::string key = "tokenizer.ggml.";
  metadata.SetString(key + "model", "gpt2");
  metadata.SetString(key + "pre", "qwen2");
  metadata.Set(key + "tokens", StringArray(std::move(vocabulary.tokens)));
  metadata.Set(key + "token_type",
               {ValueType::kArray, Array{ValueType::kI32, std::move(vocabulary.types)}});
  metadata.Set(key + "merges", StringArray(std::move(vocabulary.merges)));
  metadata.SetU32(key + "bos_token_id", vocabulary.bos);
  metadata.SetU32(key + "eos_token_id", vocabulary.eos);
  metadata.SetU32(key + "padding_token_id", vocabulary.bos);
  metadata.SetBool(key + "add_bos_token", false);
}

}  // namespace

Metadata MakeMetadata(const ModelSpec& spec) {
  // By "phi3" in a name llama.cpp knows a vocabulary, whose tokens it then looks for.
  const std::string_view arch = spec.arch == "phi3" ? "Phi, third," : std::string_view(spec.arch);
  Metadata metadata;
  metadata.SetString("general.architecture", spec.arch);
  metadata.SetString("general.name", fmt::format("random {} {} seed {}", arch,
                                                 tensor::Traits(spec.type).name, spec.seed));
  metadata.SetU32("general.file_type", FileType(spec.type));
  metadata.SetU32("general.quantization_version", 2);

  const std::string key = spec.arch + ".";
  metadata.SetU32(key + "vocab_size", spec.vocab_size);
  metadata.SetU32(key + "context_length", spec.n_ctx_train);
  metadata.SetU32(key + "embedding_length", spec.hidden_dim);
  metadata.SetU32(key + "block_count", spec.n_layers + spec.n_prediction_layers);
  if (spec.n_prediction_layers != 0) {
    metadata.SetU32(key + "nextn_predict_layers", spec.n_prediction_layers);
  }
  metadata.SetU32(key + "feed_forward_length",
                  HasOneWidth(spec) ? spec.expert_ffn_dim : spec.ffn_dim);
  if (spec.has_scales()) {
    metadata.SetF32(key + "embedding_scale", static_cast<float>(spec.embedding_scale()));
    metadata.SetF32(key + "residual_scale", static_cast<float>(spec.residual_scale()));
    metadata.SetF32(key + "logit_scale", static_cast<float>(spec.logit_divisor()));
  }
  if (spec.is_gemma4()) {
    metadata.SetU32(key + "embedding_length_per_layer_input", spec.layer_input_dim);
  }
  if (spec.logit_cap != 0) {
    metadata.SetF32(key + "final_logit_softcapping", spec.logit_cap);
  }
  SetAttention(spec, metadata);
  SetRope(spec, metadata);
  if (spec.is_hybrid()) {
    SetDeltaNet(spec, metadata);
  }
  if (spec.is_moe()) {
    SetExperts(spec, metadata);
  }
  SetTokenizer(spec, metadata);
  return metadata;
}

}  // namespace plimsoll::random_model
