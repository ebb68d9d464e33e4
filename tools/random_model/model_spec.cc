#include "tools/random_model/model_spec.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/ranges.h>

#include "tools/random_model/bpe_vocabulary.h"

namespace plimsoll::random_model {
namespace {

constexpr auto kArchitectures = std::to_array<std::string_view>(
    {"llama",     "qwen2",   "qwen3",      "qwen2moe", "qwen3moe",   "olmoe",   "gpt-oss",
     "deepseek2", "granite", "granitemoe", "dots1",    "minimax-m2", "glm4moe", "gemma3",
     "mistral3",  "phi3",    "llama4",     "gemma4",   "qwen3next",  "qwen35",  "qwen35moe"});
// Those without experts.
constexpr auto kDenseArchitectures = std::to_array<std::string_view>(
    {"qwen2", "qwen3", "granite", "gemma3", "mistral3", "phi3", "qwen35"});
constexpr std::array<std::string_view, 3> kPresets = {"tiny", "olmoe-like", "1gb"};

void ApplyTiny(ModelSpec& spec) {
  spec.n_layers = 2;
  spec.hidden_dim = 256;
  spec.n_heads = 4;
  // llama.cpp's olmoe and dots1 have as many as heads.
  spec.n_kv_heads = spec.arch == "olmoe" || spec.arch == "dots1" ? 4 : 2;
  spec.head_dim = 64;
  spec.ffn_dim = 512;
  spec.n_experts = spec.arch == "llama" ? 0 : 8;
  spec.n_experts_active = 2;
  spec.expert_ffn_dim = 256;
  spec.shared_ffn_dim = 256;
  spec.vocab_size = 512;
}

void ApplyOlmoeLike(ModelSpec& spec) {
  spec.n_layers = 16;
  spec.hidden_dim = 2048;
  spec.n_heads = 16;
  spec.n_kv_heads = 16;
  spec.head_dim = 128;
  spec.ffn_dim = 8192;
  spec.n_experts = 64;
  spec.n_experts_active = 8;
  spec.expert_ffn_dim = 1024;
  spec.shared_ffn_dim = 2048;
  spec.q_rank = 1536;  // DeepSeek-V2's
  spec.kv_rank = 512;
  spec.vocab_size = 50304;
}

void Apply1Gb(ModelSpec& spec) {
  ApplyOlmoeLike(spec);
  spec.n_layers = 8;
  spec.hidden_dim = 1024;
  spec.head_dim = 64;
  spec.ffn_dim = 4096;
  spec.expert_ffn_dim = 512;
  spec.shared_ffn_dim = 1024;
  spec.q_rank = 768;
  spec.kv_rank = 256;
  spec.vocab_size = 32000;
}

// Every matrix's row length, which its type's blocks must divide.
Result<> CheckRows(const ModelSpec& spec) {
  const auto& traits = tensor::Traits(spec.type);
  const auto check = [&](std::string_view what, uint64_t length) -> Result<> {
    if (length == 0 || length % traits.block_elements != 0) {
      return Fail(ErrorKind::kUsage, "{} {} is no multiple of {}'s block of {}", what, length,
                  traits.name, traits.block_elements);
    }
    return {};
  };
  if (auto ok = check("hidden dimension", spec.hidden_dim); !ok) {
    return ok;
  }
  if (auto ok = check("heads x head dimension", uint64_t{spec.n_heads} * spec.head_dim); !ok) {
    return ok;
  }
  if (spec.is_hybrid()) {
    if (auto ok = check("delta value heads x head dimension", spec.delta_v_dim()); !ok) {
      return ok;
    }
  }
  if (spec.is_moe() && spec.has_shared_expert()) {
    if (auto ok = check("shared feed-forward width", spec.shared_dim()); !ok) {
      return ok;
    }
  }
  if (spec.has_dense_layers() || spec.arch == "llama4") {
    if (auto ok = check("feed-forward width", spec.ffn_dim); !ok) {
      return ok;
    }
  }
  if (spec.layer_input_dim != 0) {
    if (auto ok = check("width of a layer's input", spec.layer_input_dim); !ok) {
      return ok;
    }
  }
  if (spec.has_latent()) {
    if (auto ok = check("rank of keys and values", spec.kv_rank); !ok) {
      return ok;
    }
    if (spec.q_rank != 0) {
      if (auto ok = check("rank of queries", spec.q_rank); !ok) {
        return ok;
      }
    }
    if (!spec.joined_kv && spec.head_dim % 32 != 0) {
      return Fail(ErrorKind::kUsage, "head dimension {} is no multiple of 32", spec.head_dim);
    }
  }
  return spec.is_moe() ? check("expert feed-forward width", spec.expert_ffn_dim)
                       : check("feed-forward width", spec.ffn_dim);
}

}  // namespace

bool ModelSpec::is_moe() const {
  return arch == "llama" || is_gemma4()
             ? n_experts > 0
             : std::ranges::find(kDenseArchitectures, arch) == kDenseArchitectures.end();
}

double ModelSpec::embedding_scale() const {
  return has_scales() ? 12 : arch == "gemma3" || is_gemma4() ? std::sqrt(hidden_dim) : 1;
}

double ModelSpec::attention_scale() const {
  return is_gemma4() ? 1.0 : has_scales() ? 1.0 / head_dim : 1.0 / std::sqrt(head_dim);
}

bool ModelSpec::has_qkv_biases() const {
  return qkv_biases.value_or(arch == "qwen2" || arch == "qwen2moe" || arch == "gpt-oss" ||
                             arch == "glm4moe");
}

bool ModelSpec::has_head_norm() const {
  return arch == "qwen3" || arch == "qwen3moe" || arch == "dots1" || arch == "glm4moe" ||
         arch == "gemma3" || is_gemma4() || is_hybrid();
}

std::span<const std::string_view> Architectures() { return kArchitectures; }
std::span<const std::string_view> PresetNames() { return kPresets; }

Result<> ApplyPreset(std::string_view name, ModelSpec& spec) {
  if (name == "tiny") {
    ApplyTiny(spec);
  } else if (name == "olmoe-like") {
    ApplyOlmoeLike(spec);
  } else if (name == "1gb") {
    Apply1Gb(spec);
  } else {
    return Fail(ErrorKind::kUsage, "no preset '{}'; there are {}", name, fmt::join(kPresets, ", "));
  }
  return {};
}

Result<> Check(const ModelSpec& spec) {
  if (std::find(kArchitectures.begin(), kArchitectures.end(), spec.arch) == kArchitectures.end()) {
    return Fail(ErrorKind::kUsage, "no architecture '{}'; there are {}", spec.arch,
                fmt::join(kArchitectures, ", "));
  }
  if (spec.n_layers == 0 || spec.n_kv_heads == 0 || spec.n_heads % spec.n_kv_heads != 0) {
    return Fail(ErrorKind::kUsage,
                "{} layers, {} heads, {} KV heads: none may be 0 and KV heads must divide heads",
                spec.n_layers, spec.n_heads, spec.n_kv_heads);
  }
  if (spec.n_prediction_layers != 0 && spec.arch != "glm4moe" && spec.arch != "qwen35moe") {
    return Fail(ErrorKind::kUsage, "prediction layers are made for glm4moe and qwen35moe alone");
  }
  if (spec.is_hybrid() &&
      (spec.full_attention_interval == 0 || spec.n_delta_k_heads == 0 ||
       spec.n_delta_v_heads % spec.n_delta_k_heads != 0 || spec.delta_head_dim % 16 != 0)) {
    return Fail(ErrorKind::kUsage,
                "{} delta value heads on {} key heads of {} dimensions, attention in each {}th "
                "layer: that makes no model",
                spec.n_delta_v_heads, spec.n_delta_k_heads, spec.delta_head_dim,
                spec.full_attention_interval);
  }
  if (spec.arch == "llama4" && (spec.moe_step == 0 || spec.moe_step > spec.n_layers)) {
    return Fail(ErrorKind::kUsage, "experts in each {}th of {} layers: 1 to all", spec.moe_step,
                spec.n_layers);
  }
  const bool has_gemma4_parts = spec.n_shared_kv_layers != 0 || spec.values_of_keys ||
                                spec.layer_input_dim != 0 || spec.joined_experts;
  if (has_gemma4_parts && (!spec.is_gemma4() || spec.n_shared_kv_layers + 2 > spec.n_layers)) {
    return Fail(ErrorKind::kUsage,
                "shared keys and values, values of keys, layer inputs and joined experts are made "
                "for gemma4 alone, whose first two layers share nothing");
  }
  if (spec.rope_scaling == RopeScaling::kLongRope && spec.arch != "phi3") {
    return Fail(ErrorKind::kUsage, "LongRoPE is made for phi3 alone");
  }
  if (spec.head_dim % 2 != 0 || spec.rope_dims % 2 != 0 || spec.rope_dims > spec.head_dim) {
    return Fail(ErrorKind::kUsage,
                "head dimension {} and rotary dimensions {} must be even, the latter no larger",
                spec.head_dim, spec.rope_dims);
  }
  if (spec.is_moe() && (spec.n_experts == 0 || spec.n_experts_active == 0 ||
                        spec.n_experts_active > spec.n_experts)) {
    return Fail(ErrorKind::kUsage, "{} experts with {} active: the active ones must be 1 to all",
                spec.n_experts, spec.n_experts_active);
  }
  if (spec.n_expert_groups > 1 &&
      (spec.n_experts % spec.n_expert_groups != 0 || spec.n_expert_groups_used == 0 ||
       spec.n_expert_groups_used > spec.n_expert_groups ||
       spec.n_experts / spec.n_expert_groups * spec.n_expert_groups_used < spec.n_experts_active)) {
    return Fail(ErrorKind::kUsage,
                "{} experts in {} groups of which {} are used: too few or uneven", spec.n_experts,
                spec.n_expert_groups, spec.n_expert_groups_used);
  }
  if (spec.vocab_size < kVocabSizeMin) {
    return Fail(ErrorKind::kUsage, "vocabulary of {}: at least {} are needed", spec.vocab_size,
                kVocabSizeMin);
  }
  return CheckRows(spec);
}

}  // namespace plimsoll::random_model
