#include "formats/safetensors/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "formats/escape.h"
#include "formats/json_document.h"

namespace plimsoll::formats::safetensors {
namespace {

constexpr uint64_t kMaxConfigBytes = 4 * kMiB;

// What config.json leaves out, transformers fills from the class of the model type.
struct ModelType {
  std::string_view hugging_face;
  std::string_view gguf;
  double rms_eps = 1e-6;
  double rope_theta = 10'000;
  bool uses_window = false;  // the window needs no use_sliding_window
  bool normalises = false;   // norm_topk_prob's default
};

constexpr std::array<ModelType, 11> kModelTypes = {{
    {.hugging_face = "llama", .gguf = "llama"},
    {.hugging_face = "mistral", .gguf = "llama", .uses_window = true},
    {.hugging_face = "mixtral",
     .gguf = "llama",
     .rms_eps = 1e-5,
     .rope_theta = 1e6,
     .uses_window = true,
     .normalises = true},
    {.hugging_face = "qwen2", .gguf = "qwen2"},
    {.hugging_face = "qwen2_moe", .gguf = "qwen2moe"},
    {.hugging_face = "qwen3", .gguf = "qwen3"},
    {.hugging_face = "qwen3_moe", .gguf = "qwen3moe"},
    {.hugging_face = "olmoe", .gguf = "olmoe", .rms_eps = 1e-5},
    {.hugging_face = "granite", .gguf = "granite"},
    {.hugging_face = "phi3", .gguf = "phi3", .rms_eps = 1e-5, .uses_window = true},
    {.hugging_face = "dots1", .gguf = "dots1"},
}};

// Copies keys over, keeping the first error.
class Converter {
 public:
  Converter(const JsonObject& json, const ModelType& type) : json_(json), type_(type) {}

  Result<Config> Convert(const std::string& model_name);

 private:
  [[nodiscard]] std::string Key(std::string_view key) const {
    return fmt::format("{}.{}", type_.gguf, key);
  }
  void Note(Error error) {
    if (!error_) {
      error_ = std::move(error);
    }
  }
  template <class... Args>
  void Refuse(std::string_view key, fmt::format_string<Args...> format, Args&&... args) {
    Note(json_.Bad(key, format, std::forward<Args>(args)...).value());
  }
  // The value; the default of its type when it is missing or wrong.
  template <class T>
  T Take(Result<T> result) {
    if (!result) {
      Note(std::move(result).error());
      return T{};
    }
    return *std::move(result);
  }

  std::optional<uint32_t> CopyU32(std::string_view from, std::string_view to) {
    const auto value = Take(json_.U32(from));
    if (value) {
      out_.SetU32(Key(to), *value);
    }
    return value;
  }
  void CopyF32(const JsonObject& json, std::string_view from, std::string_view to) {
    if (const auto value = Take(json.Number(from))) {
      out_.SetF32(Key(to), static_cast<float>(*value));
    }
  }

  void CopyDimensions();
  void CopyScales();
  void CopyExperts();
  void CopyRope();
  void CopyRopeScaling(const JsonObject& scaling);
  void CopyYarn(const JsonObject& scaling);
  void CopyWindow();
  void CopyTokens();
  void RefuseWhatDiffers();

  const JsonObject& json_;
  const ModelType& type_;
  Metadata out_;
  std::optional<Error> error_;
};

void Converter::CopyDimensions() {
  for (const auto& [from, to] :
       {std::pair{"num_hidden_layers", "block_count"}, std::pair{"hidden_size", "embedding_length"},
        std::pair{"intermediate_size", "feed_forward_length"},
        std::pair{"num_attention_heads", "attention.head_count"}}) {
    if (!CopyU32(from, to)) {
      Refuse(from, "it is missing");
    }
  }
  CopyU32("vocab_size", "vocab_size");
  CopyU32("max_position_embeddings", "context_length");
  CopyU32("num_key_value_heads", "attention.head_count_kv");
  if (const auto head_dim = CopyU32("head_dim", "attention.key_length")) {
    out_.SetU32(Key("attention.value_length"), *head_dim);
  }
  out_.SetF32(Key("attention.layer_norm_rms_epsilon"), static_cast<float>(type_.rms_eps));
  CopyF32(json_, "rms_norm_eps", "attention.layer_norm_rms_epsilon");
  CopyF32(json_, "clip_qkv", "attention.clamp_kqv");
}

// Granite's.
void Converter::CopyScales() {
  CopyF32(json_, "embedding_multiplier", "embedding_scale");
  CopyF32(json_, "residual_multiplier", "residual_scale");
  CopyF32(json_, "attention_multiplier", "attention.scale");
  CopyF32(json_, "logits_scaling", "logit_scale");
}

void Converter::CopyExperts() {
  const auto by_qwen = CopyU32("num_experts", "expert_count");
  const auto by_mixtral = CopyU32("num_local_experts", "expert_count");
  const auto by_deepseek = CopyU32("n_routed_experts", "expert_count");
  if (by_qwen.value_or(0) == 0 && by_mixtral.value_or(0) == 0 && by_deepseek.value_or(0) == 0) {
    return;
  }
  if (!CopyU32("num_experts_per_tok", "expert_used_count")) {
    Refuse("num_experts_per_tok", "it is missing");
  }
  CopyU32("moe_intermediate_size", "expert_feed_forward_length");
  CopyU32("shared_expert_intermediate_size", "expert_shared_feed_forward_length");
  CopyU32("n_shared_experts", "expert_shared_count");
  CopyU32("first_k_dense_replace", "leading_dense_block_count");
  CopyF32(json_, "routed_scaling_factor", "expert_weights_scale");
  const auto normalises = Take(json_.Bool("norm_topk_prob"));
  out_.SetBool(Key("expert_weights_norm"), normalises.value_or(type_.normalises));
}

void Converter::CopyRope() {
  out_.SetBool("plimsoll.rope.neox", true);
  out_.SetF32(Key("rope.freq_base"), static_cast<float>(type_.rope_theta));
  CopyF32(json_, "rope_theta", "rope.freq_base");
  const auto head_dim = Take(json_.U32("head_dim"));
  const auto hidden = Take(json_.U32("hidden_size"));
  const auto heads = Take(json_.U32("num_attention_heads"));
  if (head_dim || (hidden && heads && *heads > 0)) {
    const double whole = head_dim ? *head_dim : *hidden / *heads;
    const double part = Take(json_.Number("partial_rotary_factor")).value_or(1.0);
    if (!(part > 0 && part <= 1)) {
      Refuse("partial_rotary_factor", "it is {}, not above 0 and at most 1", part);
    } else {
      out_.SetU32(Key("rope.dimension_count"), static_cast<uint32_t>(whole * part));
    }
  }
  // Newer files say "rope_parameters" and put the base there too.
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (const auto scaling = Take(json_.Object(key))) {
      CopyRopeScaling(*scaling);
    }
  }
}

void Converter::CopyRopeScaling(const JsonObject& scaling) {
  CopyF32(scaling, "rope_theta", "rope.freq_base");
  auto type = Take(scaling.String("rope_type"));
  if (!type) {
    type = Take(scaling.String("type"));
  }
  if (!type || *type == "default") {
    return;
  }
  constexpr std::array<std::string_view, 4> kKnown = {"linear", "dynamic", "yarn", "llama3"};
  if (std::ranges::find(kKnown, *type) == kKnown.end()) {
    Note(scaling
             .Bad("rope_type", "\"{}\" is not supported; supported are default, {}", Escape(*type),
                  fmt::join(kKnown, ", "))
             .value());
    return;
  }
  out_.SetString(Key("rope.scaling.type"), *type);
  CopyF32(scaling, "factor", "rope.scaling.factor");
  if (const auto original = Take(scaling.U32("original_max_position_embeddings"))) {
    out_.SetU32(Key("rope.scaling.original_context_length"), *original);
  }
  if (*type == "yarn") {
    CopyYarn(scaling);
  } else if (*type == "llama3") {
    CopyF32(scaling, "low_freq_factor", "rope.scaling.low_freq_factor");
    CopyF32(scaling, "high_freq_factor", "rope.scaling.high_freq_factor");
  }
}

void Converter::CopyYarn(const JsonObject& scaling) {
  CopyF32(scaling, "beta_fast", "rope.scaling.yarn_beta_fast");
  CopyF32(scaling, "beta_slow", "rope.scaling.yarn_beta_slow");
  const auto attention = Take(scaling.Number("attention_factor"));
  const auto factor = Take(scaling.Number("factor"));
  if (attention && factor && *factor >= 1) {
    // GGUF's factor comes on top of YaRN's own, Hugging Face's stands for both.
    const double own = 1.0 + 0.1 * std::log(*factor);
    out_.SetF32(Key("rope.scaling.attn_factor"), static_cast<float>(*attention / own));
  }
}

void Converter::CopyWindow() {
  const auto window = Take(json_.U32("sliding_window"));
  const bool in_use = Take(json_.Bool("use_sliding_window")).value_or(type_.uses_window);
  if (!window || *window == 0 || !in_use) {
    return;
  }
  // Qwen's windows begin at layer max_window_layers.
  const auto first = Take(json_.U32("max_window_layers"));
  const auto n_layers = Take(json_.U32("num_hidden_layers"));
  if (first && n_layers && *first >= *n_layers) {
    return;
  }
  const auto types = Take(json_.Strings("layer_types")).value_or(std::vector<std::string>());
  const auto n_windowed = std::ranges::count(types, "sliding_attention");
  if (!types.empty() && n_windowed == 0) {
    return;
  }
  const bool some_only = types.empty() ? first.value_or(0) > 0 : n_windowed < std::ssize(types);
  if (some_only) {
    Refuse("sliding_window", "a window in some layers only is not supported");
  }
  out_.SetU32(Key("attention.sliding_window"), *window);
}

void Converter::CopyTokens() {
  const auto bos = Take(json_.U32List("bos_token_id"));
  const auto eos = Take(json_.U32List("eos_token_id"));
  if (!bos.empty()) {
    out_.SetU32("tokenizer.ggml.bos_token_id", bos.front());
  }
  if (!eos.empty()) {
    out_.SetU32("tokenizer.ggml.eos_token_id", eos.front());
    Array all{ValueType::kU32, std::vector<int64_t>(eos.begin(), eos.end())};
    out_.Set("plimsoll.eos_token_ids", {ValueType::kArray, std::move(all)});
  }
}

void Converter::RefuseWhatDiffers() {
  const auto activation = Take(json_.String("hidden_act"));
  if (activation && *activation != "silu" && *activation != "swish") {
    Refuse("hidden_act", "\"{}\" is not supported; supported is silu", Escape(*activation));
  }
  if (json_.Has("quantization_config")) {
    Refuse("quantization_config",
           "quantized safetensors are not supported; use the original weights or a GGUF file");
  }
  if (Take(json_.U32("decoder_sparse_step")).value_or(1) > 1) {
    Refuse("decoder_sparse_step", "dense layers between those with experts are not supported");
  }
  if (!Take(json_.U32List("mlp_only_layers")).empty()) {
    Refuse("mlp_only_layers", "dense layers between those with experts are not supported");
  }
}

Result<Config> Converter::Convert(const std::string& model_name) {
  out_.SetString("general.architecture", std::string(type_.gguf));
  out_.SetString("general.name", model_name);
  CopyDimensions();
  CopyScales();
  CopyExperts();
  CopyRope();
  CopyWindow();
  CopyTokens();
  RefuseWhatDiffers();
  const auto tied = Take(json_.Bool("tie_word_embeddings"));
  if (error_) {
    return tl::unexpected(*error_);
  }
  return Config{std::move(out_), tied.value_or(false), tied == false};
}

}  // namespace

Result<Config> ReadConfig(const io::File& file, const std::string& model_name) {
  auto document = JsonDocument::Parse(file, kMaxConfigBytes);
  if (!document) {
    return Forward(document);
  }
  const JsonObject& json = document->root();
  auto name = json.String("model_type");
  if (!name) {
    return Forward(name);
  }
  const auto* type = std::ranges::find(kModelTypes, name->value_or(""), &ModelType::hugging_face);
  if (type == kModelTypes.end()) {
    std::string names;
    for (const ModelType& known : kModelTypes) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", known.hugging_face);
    }
    return json.Bad("model_type", "\"{}\" is not supported; supported are {}",
                    Escape(name->value_or("")), names);
  }
  return Converter(json, *type).Convert(model_name);
}

}  // namespace plimsoll::formats::safetensors
