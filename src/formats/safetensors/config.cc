#include "formats/safetensors/config.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "formats/escape.h"
#include "formats/json_document.h"
#include "formats/safetensors/config_rope.h"

namespace plimsoll::formats::safetensors {
namespace {

constexpr uint64_t kMaxConfigBytes = 4 * kMiB;
// Beyond anything that exists; products of two stay far inside 64 bits.
constexpr uint32_t kMaxDimension = 1U << 20;

bool HasExperts(ConfigKeys& keys) {
  return keys.U32Or("num_experts", 0) != 0 || keys.U32Or("num_local_experts", 0) != 0 ||
         keys.U32Or("n_routed_experts", 0) != 0;
}

uint32_t Bounded(std::string_view key, ConfigKeys& keys) {
  const uint32_t value = keys.U32Or(key, 0);
  if (value > kMaxDimension) {
    keys.Refuse(key, "it is {}, more than any model has", value);
    return 0;
  }
  return value;
}

void KeepDimensions(ConfigKeys& keys) {
  Dimensions& d = keys.dimensions;
  d.n_layers = Bounded("num_hidden_layers", keys);
  d.n_heads = Bounded("num_attention_heads", keys);
  const uint32_t n_kv_heads = Bounded("num_key_value_heads", keys);
  d.n_kv_heads = n_kv_heads == 0 ? d.n_heads : n_kv_heads;
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    d.n_experts = std::max(d.n_experts, Bounded(key, keys));
  }
  d.n_key_heads = Bounded("linear_num_key_heads", keys);
  d.n_value_heads = Bounded("linear_num_value_heads", keys);
  d.key_head_dim = Bounded("linear_key_head_dim", keys);
  d.value_head_dim = Bounded("linear_value_head_dim", keys);
}

void CopyDimensions(ConfigKeys& keys) {
  keys.CopyNeeded("num_hidden_layers", "block_count");
  keys.CopyNeeded("hidden_size", "embedding_length");
  if (keys.Has("intermediate_size") || !HasExperts(keys) || !keys.Has("moe_intermediate_size")) {
    keys.CopyNeeded("intermediate_size", "feed_forward_length");
  }
  keys.CopyNeeded("num_attention_heads", "attention.head_count");
  keys.Copy("vocab_size", "vocab_size");
  keys.Copy("max_position_embeddings", "context_length");
  keys.Copy("num_key_value_heads", "attention.head_count_kv");
  if (const auto head_dim = keys.Copy("head_dim", "attention.key_length")) {
    keys.Set("attention.value_length", *head_dim);
  }
  keys.SetF32("attention.layer_norm_rms_epsilon", keys.family().rms_eps);
  keys.CopyF32("rms_norm_eps", "attention.layer_norm_rms_epsilon");
  keys.CopyF32("clip_qkv", "attention.clamp_kqv");
}

void CopyExperts(ConfigKeys& keys) {
  if (!HasExperts(keys)) {
    return;
  }
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    keys.Copy(key, "expert_count");
  }
  keys.CopyNeeded(keys.Has("top_k_experts") ? "top_k_experts" : "num_experts_per_tok",
                  "expert_used_count");
  keys.Copy("moe_intermediate_size", "expert_feed_forward_length");
  keys.Copy("shared_expert_intermediate_size", "expert_shared_feed_forward_length");
  keys.Copy("n_shared_experts", "expert_shared_count");
  keys.Copy("first_k_dense_replace", "leading_dense_block_count");
  keys.CopyF32("routed_scaling_factor", "expert_weights_scale");
  if (keys.U32Or("n_group", 1) > 1) {
    keys.Copy("n_group", "expert_group_count");
    keys.CopyNeeded("topk_group", "expert_group_used_count");
  }
  keys.SetBool("expert_weights_norm",
               keys.Bool("norm_topk_prob").value_or(keys.family().normalises));
  if (keys.family().is_sigmoid) {
    keys.Set("expert_gating_func", 2);  // llama.cpp's number
  }
}

void CopyWindow(ConfigKeys& keys) {
  const auto window = keys.U32("sliding_window");
  const bool in_use =
      keys.Bool("use_sliding_window").value_or(keys.family().windows == Windows::kAlways);
  if (!window || *window == 0 || !in_use) {
    return;
  }
  // Qwen's windows begin at layer max_window_layers.
  const auto first = keys.U32("max_window_layers");
  if (first && *first >= keys.dimensions.n_layers) {
    return;
  }
  const std::vector<std::string> types = keys.Strings("layer_types");
  const auto n_windowed = std::ranges::count(types, "sliding_attention");
  if (!types.empty() && n_windowed == 0) {
    return;
  }
  const bool some_only = types.empty() ? first.value_or(0) > 0 : n_windowed < std::ssize(types);
  if (some_only) {
    keys.Refuse("sliding_window", "a window in some layers only is not supported");
  }
  keys.Set("attention.sliding_window", *window);
}

void CopyTokens(ConfigKeys& keys) {
  const auto bos = keys.U32List("bos_token_id");
  const auto eos = keys.U32List("eos_token_id");
  if (!bos.empty()) {
    keys.metadata.SetU32("tokenizer.ggml.bos_token_id", bos.front());
  }
  if (!eos.empty()) {
    keys.metadata.SetU32("tokenizer.ggml.eos_token_id", eos.front());
    Array all{ValueType::kU32, std::vector<int64_t>(eos.begin(), eos.end())};
    keys.metadata.Set("plimsoll.eos_token_ids", {ValueType::kArray, std::move(all)});
  }
}

void RefuseWhatDiffers(ConfigKeys& keys) {
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    const auto activation = keys.String(key);
    const std::string_view own = keys.family().activation;
    const bool is_silu = own == "silu" && activation == "swish";
    if (activation && *activation != own && !is_silu) {
      keys.Refuse(key, "\"{}\" is not supported; supported is {}", Escape(*activation), own);
    }
  }
  if (keys.U32Or("decoder_sparse_step", 1) > 1) {
    keys.Refuse("decoder_sparse_step", "dense layers between those with experts are not supported");
  }
  if (!keys.U32List("mlp_only_layers").empty()) {
    keys.Refuse("mlp_only_layers", "dense layers between those with experts are not supported");
  }
}

// FP8 has its factors beside it, MXFP4 is a type of GGUF's too.
ScaleBlocks ReadQuantization(ConfigKeys& keys) {
  ScaleBlocks blocks;
  const auto quantization = keys.Object("quantization_config");
  if (!quantization) {
    return blocks;
  }
  const std::string method = keys.Take(quantization->String("quant_method")).value_or("");
  if (method == "fp8") {
    const auto sizes = keys.Take(quantization->U32List("weight_block_size"));
    if (sizes.size() == 2 && sizes[0] != 0 && sizes[1] != 0) {
      blocks = {.rows = sizes[0], .columns = sizes[1]};
    } else if (!sizes.empty()) {
      keys.Note(quantization->Bad("weight_block_size", "expected two numbers above 0").value());
    }
  } else if (method != "mxfp4") {
    keys.Refuse("quantization_config",
                "quantized safetensors (\"{}\") are not supported; use the original weights or a "
                "GGUF file",
                Escape(method));
  }
  return blocks;
}

Result<Config> Convert(const JsonObject& root, const JsonObject& text, const Family& family,
                       const std::string& model_name) {
  ConfigKeys keys(root, text, family);
  keys.metadata.SetString("general.architecture", std::string(family.gguf));
  keys.metadata.SetString("general.name", model_name);
  KeepDimensions(keys);
  CopyDimensions(keys);
  CopyExperts(keys);
  CopyRope(keys);
  if (family.windows != Windows::kOwn) {
    CopyWindow(keys);
  }
  CopyTokens(keys);
  RefuseWhatDiffers(keys);
  const ScaleBlocks scale_blocks = ReadQuantization(keys);
  if (family.configure != nullptr) {
    family.configure(keys);
  }
  const auto tied = keys.Bool("tie_word_embeddings");
  if (keys.error()) {
    return tl::unexpected(*keys.error());
  }
  return Config{.family = &family,
                .metadata = std::move(keys.metadata),
                .dimensions = keys.dimensions,
                .tensors = std::move(keys.tensors),
                .scale_blocks = scale_blocks,
                .output_is_tied = tied.value_or(false),
                .says_untied = tied == false};
}

}  // namespace

Result<Config> ReadConfig(const io::File& file, const std::string& model_name) {
  auto document = JsonDocument::Parse(file, kMaxConfigBytes);
  if (!document) {
    return Forward(document);
  }
  const JsonObject& root = document->root();
  auto text = root.Object("text_config");
  if (!text) {
    return Forward(text);
  }
  const JsonObject& language = *text ? **text : root;
  // Where the part of the language model does not say what it is, the whole does.
  auto name = language.String("model_type");
  if (name && !*name) {
    name = root.String("model_type");
  }
  if (!name) {
    return Forward(name);
  }
  const Family* const family = FindFamily(name->value_or(""));
  if (family == nullptr) {
    std::string names;
    for (const Family* known : AllFamilies()) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", known->hugging_face);
    }
    return language.Bad("model_type", "\"{}\" is not supported; supported are {}",
                        Escape(name->value_or("")), names);
  }
  return Convert(root, language, *family, model_name);
}

}  // namespace plimsoll::formats::safetensors
