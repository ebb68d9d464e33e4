#include "engine/quantize_mix.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using tensor::DType;
using enum MatrixPart;
using enum MixLayers;
using enum MixCondition;

constexpr std::string_view kOutputName = "output.weight";
constexpr std::string_view kEmbeddingName = "token_embd.weight";

// Rules that many mixes share.
constexpr MixRule kSixBitLogits = {kLogits, kAll, kAlways, DType::kQ6_K};
constexpr MixRule kFiveBitLogits = {kLogits, kAll, kAlways, DType::kQ5_K};
// Attention is a small part of a model with eight experts.
constexpr MixRule kValuesBesideEight = {kValues, kAll, kEightExperts, DType::kQ8_0};
constexpr MixRule kKeysBesideEight = {kKeys, kAll, kEightExperts, DType::kQ8_0};
constexpr MixRule kOutputBesideEight = {kAttentionOutput, kAll, kEightExperts, DType::kQ5_K};

constexpr std::array kQ4_0 = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                              MixRule{kDown, kFirstEighth, kWithImportance, DType::kQ4_1}};
constexpr std::array kQ5_0 = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                              MixRule{kDown, kFirstEighth, kWithImportance, DType::kQ5_1}};
// Q4_1, Q5_1, Q3_K_S, Q5_K_S, Q6_K
constexpr std::array kPlain = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight};
constexpr std::array kQ3_K_S = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                                kOutputBesideEight};
constexpr std::array kQ2_K = {kSixBitLogits,
                              kValuesBesideEight,
                              kKeysBesideEight,
                              kOutputBesideEight,
                              MixRule{kValues, kAll, kGroupedQueries, DType::kQ4_K},
                              MixRule{kValues, kAll, kAlways, DType::kQ3_K},
                              MixRule{kDown, kAll, kAlways, DType::kQ3_K},
                              MixRule{kAttentionOutput, kAll, kAlways, DType::kQ3_K}};
constexpr std::array kQ2_K_S = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                                MixRule{kValues, kAll, kGroupedQueries, DType::kQ4_K},
                                MixRule{kDown, kFirstEighth, kAlways, DType::kQ4_K}};
constexpr std::array kQ3_K_M = {kSixBitLogits,
                                kValuesBesideEight,
                                kKeysBesideEight,
                                kOutputBesideEight,
                                MixRule{kValues, kFirstTwo, kAlways, DType::kQ5_K},
                                MixRule{kValues, kAll, kAlways, DType::kQ4_K},
                                MixRule{kDown, kFirstSixteenth, kAlways, DType::kQ5_K},
                                MixRule{kDown, kAll, kAlways, DType::kQ4_K},
                                MixRule{kAttentionOutput, kAll, kAlways, DType::kQ4_K}};
constexpr std::array kQ3_K_L = {kSixBitLogits,
                                kValuesBesideEight,
                                kKeysBesideEight,
                                MixRule{kValues, kAll, kAlways, DType::kQ5_K},
                                MixRule{kDown, kAll, kAlways, DType::kQ5_K},
                                MixRule{kAttentionOutput, kAll, kAlways, DType::kQ5_K}};
constexpr std::array kQ4_K_S = {kSixBitLogits,
                                kValuesBesideEight,
                                kKeysBesideEight,
                                kOutputBesideEight,
                                MixRule{kValues, kFirstFour, kAlways, DType::kQ5_K},
                                MixRule{kDown, kFirstEighth, kAlways, DType::kQ5_K}};
constexpr std::array kQ4_K_M = {kSixBitLogits,
                                kValuesBesideEight,
                                kKeysBesideEight,
                                kOutputBesideEight,
                                MixRule{kValues, kMoreBits, kAlways, DType::kQ6_K},
                                MixRule{kDown, kMoreBits, kAlways, DType::kQ6_K}};
constexpr std::array kQ5_K_M = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                                MixRule{kValues, kMoreBits, kAlways, DType::kQ6_K},
                                MixRule{kDown, kMoreBits, kAlways, DType::kQ6_K}};
constexpr std::array kIQ4 = {kSixBitLogits,
                             kValuesBesideEight,
                             kKeysBesideEight,
                             kOutputBesideEight,
                             MixRule{kValues, kAll, kGroupedQueries, DType::kQ5_K},
                             MixRule{kDown, kFirstEighth, kWithoutImportance, DType::kQ5_K}};
constexpr std::array kIQ3_M = {kSixBitLogits,
                               kValuesBesideEight,
                               kKeysBesideEight,
                               kOutputBesideEight,
                               MixRule{kValues, kAll, kAlways, DType::kQ4_K},
                               MixRule{kDown, kFirstEighth, kAlways, DType::kQ4_K},
                               MixRule{kAttentionOutput, kAll, kAlways, DType::kQ4_K}};
constexpr std::array kIQ3_S = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                               kOutputBesideEight,
                               MixRule{kValues, kAll, kGroupedQueries, DType::kQ4_K}};
constexpr std::array kIQ3_XS = {kSixBitLogits,
                                kValuesBesideEight,
                                kKeysBesideEight,
                                kOutputBesideEight,
                                MixRule{kValues, kAll, kGroupedQueries, DType::kQ4_K},
                                MixRule{kKeys, kAll, kAlways, DType::kIQ3_XXS},
                                MixRule{kQueries, kAll, kAlways, DType::kIQ3_XXS},
                                MixRule{kGateOrUp, kMiddle, kAlways, DType::kIQ3_XXS}};
constexpr std::array kIQ3_XXS = {kFiveBitLogits,
                                 kValuesBesideEight,
                                 kKeysBesideEight,
                                 kOutputBesideEight,
                                 MixRule{kEmbedding, kAll, kAlways, DType::kIQ3_S},
                                 MixRule{kValues, kAll, kGroupedQueries, DType::kQ4_K},
                                 MixRule{kValues, kAll, kWithoutImportance, DType::kIQ3_S},
                                 MixRule{kKeys, kAll, kAlways, DType::kIQ2_S},
                                 MixRule{kQueries, kAll, kAlways, DType::kIQ2_S},
                                 MixRule{kDown, kFirstEighth, kWithoutImportance, DType::kQ4_K},
                                 MixRule{kDown, kAll, kWithoutImportance, DType::kQ3_K},
                                 MixRule{kAttentionOutput, kAll, kAlways, DType::kIQ3_S}};
// IQ2_S and IQ2_M
constexpr std::array kIQ2Large = {kFiveBitLogits,
                                  kOutputBesideEight,
                                  MixRule{kKeys, kAll, kEightExperts, DType::kQ4_K},
                                  MixRule{kEmbedding, kAll, kAlways, DType::kIQ3_S},
                                  MixRule{kValues, kAll, kGroupedQueriesOrExperts, DType::kQ4_K},
                                  MixRule{kValues, kAll, kAlways, DType::kIQ3_S},
                                  MixRule{kDown, kFirstEighth, kAlways, DType::kIQ3_S},
                                  MixRule{kAttentionOutput, kAll, kAlways, DType::kIQ3_S}};
// IQ2_XXS and IQ2_XS
constexpr std::array kIQ2Small = {kFiveBitLogits,
                                  kOutputBesideEight,
                                  MixRule{kKeys, kAll, kEightExperts, DType::kQ4_K},
                                  MixRule{kEmbedding, kAll, kAlways, DType::kQ2_K},
                                  MixRule{kValues, kAll, kGroupedQueriesOrExperts, DType::kQ4_K},
                                  MixRule{kValues, kAll, kAlways, DType::kQ2_K},
                                  MixRule{kDown, kFirstEighth, kAlways, DType::kQ2_K}};
constexpr std::array kIQ1 = {kFiveBitLogits,
                             kOutputBesideEight,
                             MixRule{kKeys, kAll, kEightExperts, DType::kQ4_K},
                             MixRule{kEmbedding, kAll, kAlways, DType::kQ2_K},
                             MixRule{kValues, kAll, kGroupedQueriesOrExperts, DType::kQ4_K},
                             MixRule{kValues, kAll, kAlways, DType::kQ2_K},
                             MixRule{kDown, kFirstEighth, kAlways, DType::kQ2_K},
                             MixRule{kAttentionOutput, kAll, kAlways, DType::kIQ2_XXS}};
constexpr std::array kTernary = {kSixBitLogits, kValuesBesideEight, kKeysBesideEight,
                                 MixRule{kEmbedding, kAll, kAlways, DType::kQ4_K}};
constexpr std::array kExpertsAlone = {MixRule{kGateOrUp, kAll, kExpertStack, DType::kMXFP4},
                                      MixRule{kDown, kAll, kExpertStack, DType::kMXFP4}};

constexpr std::array<QuantizeMix, 38> kMixes = {{
    {"F32", DType::kF32, 0, {}},
    {"F16", DType::kF16, 1, {}},
    {"BF16", DType::kBF16, 32, {}},
    {"Q8_0", DType::kQ8_0, 7, {}},
    {"Q6_K", DType::kQ6_K, 18, kPlain},
    {"Q5_K_M", DType::kQ5_K, 17, kQ5_K_M},
    {"Q5_K_S", DType::kQ5_K, 16, kPlain},
    {"Q5_K", DType::kQ5_K, 17, kQ5_K_M},
    {"Q5_1", DType::kQ5_1, 9, kPlain},
    {"Q5_0", DType::kQ5_0, 8, kQ5_0},
    {"Q4_K_M", DType::kQ4_K, 15, kQ4_K_M},
    {"Q4_K_S", DType::kQ4_K, 14, kQ4_K_S},
    {"Q4_K", DType::kQ4_K, 15, kQ4_K_M},
    {"Q4_1", DType::kQ4_1, 3, kPlain},
    {"Q4_0", DType::kQ4_0, 2, kQ4_0},
    {"IQ4_NL", DType::kIQ4_NL, 25, kIQ4},
    {"IQ4_XS", DType::kIQ4_XS, 30, kIQ4},
    {"MXFP4_MOE", DType::kQ8_0, 38, kExpertsAlone},
    {"MXFP4", DType::kMXFP4, 38, kPlain},
    {"NVFP4", DType::kNVFP4, 39, kPlain},
    {"Q3_K_L", DType::kQ3_K, 13, kQ3_K_L},
    {"Q3_K_M", DType::kQ3_K, 12, kQ3_K_M},
    {"Q3_K_S", DType::kQ3_K, 11, kQ3_K_S},
    {"Q3_K", DType::kQ3_K, 12, kQ3_K_M},
    {"IQ3_M", DType::kIQ3_S, 27, kIQ3_M},
    {"IQ3_S", DType::kIQ3_S, 26, kIQ3_S},
    {"IQ3_XS", DType::kIQ3_S, 22, kIQ3_XS},
    {"IQ3_XXS", DType::kIQ3_XXS, 23, kIQ3_XXS},
    {"Q2_K", DType::kQ2_K, 10, kQ2_K},
    {"Q2_K_S", DType::kQ2_K, 21, kQ2_K_S},
    {"IQ2_M", DType::kIQ2_S, 29, kIQ2Large},
    {"IQ2_S", DType::kIQ2_XS, 28, kIQ2Large},
    {"IQ2_XS", DType::kIQ2_XS, 20, kIQ2Small},
    {"IQ2_XXS", DType::kIQ2_XXS, 19, kIQ2Small},
    {"IQ1_M", DType::kIQ1_M, 31, kIQ1},
    {"IQ1_S", DType::kIQ1_S, 24, kIQ1},
    {"TQ2_0", DType::kTQ2_0, 37, kTernary},
    {"TQ1_0", DType::kTQ1_0, 36, kTernary},
}};

// The number in "blk.N."; nothing outside of layers.
std::optional<uint32_t> LayerOf(std::string_view name) {
  constexpr std::string_view kLayer = "blk.";
  uint32_t layer = 0;
  if (!name.starts_with(kLayer)) {
    return std::nullopt;
  }
  name.remove_prefix(kLayer.size());
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  return error == std::errc() ? std::optional(layer) : std::nullopt;
}

bool Has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

bool IsAmong(MixLayers layers, uint32_t i, uint32_t n) {
  const bool is_early = i < n / 8;
  const bool is_late = i >= 7 * n / 8;
  switch (layers) {
    case kAll:
      return true;
    case kFirstTwo:
      return i < 2;
    case kFirstFour:
      return i < 4;
    case kFirstSixteenth:
      return i < n / 16;
    case kFirstEighth:
      return is_early;
    case kMiddle:
      return !is_early && !is_late;
    case kMoreBits:
      return is_early || is_late || (i - n / 8) % 3 == 2;
  }
  return false;
}

// Of the first layer that has any, where layers differ.
uint32_t FirstOf(const formats::Metadata& metadata, const std::string& key, uint32_t n_layers) {
  if (const auto one = metadata.U32(key)) {
    return *one;
  }
  const auto each = metadata.U32PerLayer(key, n_layers);
  return each && !each->empty() ? each->front() : 0;
}

}  // namespace

const QuantizeMix* FindMix(std::string_view name) {
  const auto is_it = [name](const QuantizeMix& mix) {
    return std::ranges::equal(mix.name, name, [](char a, char b) {
      return a == std::toupper(static_cast<unsigned char>(b));
    });
  };
  const auto found = std::ranges::find_if(AllMixes(), is_it);
  return found == AllMixes().end() ? nullptr : &*found;
}

std::span<const QuantizeMix> AllMixes() { return kMixes; }

MixedModel::MixedModel(const formats::Catalogue& catalogue, bool has_importance)
    : has_importance_(has_importance), ties_embedding_(catalogue.Find(kOutputName) == nullptr) {
  const formats::Metadata& metadata = catalogue.metadata;
  const std::string prefix =
      std::string(metadata.String("general.architecture").value_or("")) + ".";
  n_layers_ = metadata.U32Or(prefix + "block_count", 0).value_or(0);
  n_experts_ = metadata.U32Or(prefix + "expert_count", 0).value_or(0);
  const uint32_t n_heads = FirstOf(metadata, prefix + "attention.head_count", n_layers_);
  const uint32_t n_keys = FirstOf(metadata, prefix + "attention.head_count_kv", n_layers_);
  heads_of_a_key_ = n_keys == 0 ? 1 : n_heads / n_keys;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    const auto layer = LayerOf(tensor.name);
    if (layer && PartOf(tensor) == kValues) {
      layers_with_values_.push_back(*layer);
    }
  }
  std::ranges::sort(layers_with_values_);
}

MatrixPart MixedModel::PartOf(const TensorEntry& tensor) const {
  const std::string_view name = tensor.name;
  if (name == kOutputName || (ties_embedding_ && name == kEmbeddingName)) {
    return kLogits;
  }
  if (name == kEmbeddingName) {
    return kEmbedding;
  }
  if (Has(name, "attn_qkv.weight") || Has(name, "attn_kv_b.weight") || Has(name, "attn_v.weight")) {
    return kValues;
  }
  if (Has(name, "attn_k.weight")) {
    return kKeys;
  }
  if (Has(name, "attn_q.weight")) {
    return kQueries;
  }
  if (Has(name, "attn_output.weight")) {
    return kAttentionOutput;
  }
  if (Has(name, "ffn_up") || Has(name, "ffn_gate")) {
    return kGateOrUp;
  }
  return Has(name, "ffn_down") ? kDown : kOther;
}

DType MixedModel::TypeOf(const QuantizeMix& mix, const TensorEntry& tensor) const {
  const MatrixPart part = PartOf(tensor);
  for (const MixRule& rule : mix.rules) {
    if (rule.part == part && Holds(rule.condition, tensor) && Holds(rule.layers, part, tensor)) {
      return rule.dtype;
    }
  }
  return mix.dtype;
}

bool MixedModel::Holds(MixCondition condition, const TensorEntry& tensor) const {
  constexpr uint32_t kFew = 4;
  switch (condition) {
    case kAlways:
      return true;
    case kGroupedQueries:
      return heads_of_a_key_ >= kFew;
    case kGroupedQueriesOrExperts:
      return heads_of_a_key_ >= kFew || n_experts_ >= kFew;
    case kEightExperts:
      return n_experts_ == 8;
    case kExpertStack:
      return tensor.shape.dims[2] > 1;
    case kWithImportance:
      return has_importance_;
    case kWithoutImportance:
      return !has_importance_;
  }
  return false;
}

// Values are counted among the layers that have any: in others there is no attention.
bool MixedModel::Holds(MixLayers layers, MatrixPart part, const TensorEntry& tensor) const {
  const auto layer = LayerOf(tensor.name);
  if (layers == kAll || !layer) {
    return layers == kAll;
  }
  if (part != kValues) {
    return IsAmong(layers, *layer, n_layers_);
  }
  const auto place = std::ranges::lower_bound(layers_with_values_, *layer);
  return IsAmong(layers, static_cast<uint32_t>(place - layers_with_values_.begin()),
                 static_cast<uint32_t>(layers_with_values_.size()));
}

}  // namespace plimsoll::engine
