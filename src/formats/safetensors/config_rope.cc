#include "formats/safetensors/config_rope.h"

#include <array>
#include <cmath>
#include <numbers>

#include "base/math.h"
#include "formats/escape.h"
#include "formats/safetensors/family.h"

namespace plimsoll::formats::safetensors {
namespace {

constexpr double kMaxHeadDim = 1 << 16;  // beyond anything that exists

// What the stretching is made from.
struct Rotation {
  uint32_t n_dims = 0;
  double theta = 0;
};

void CopyYarn(const JsonObject& scaling, ConfigKeys& keys) {
  keys.CopyF32Of(scaling, "beta_fast", "rope.scaling.yarn_beta_fast");
  keys.CopyF32Of(scaling, "beta_slow", "rope.scaling.yarn_beta_slow");
  const auto attention = keys.Take(scaling.Number("attention_factor"));
  const auto factor = keys.Take(scaling.Number("factor"));
  if (attention && factor && *factor >= 1) {
    // GGUF's factor comes on top of YaRN's own, Hugging Face's stands for both.
    keys.SetF32("rope.scaling.attn_factor", *attention / (1.0 + 0.1 * StableLog(*factor)));
  }
}

// Wavelengths beyond the original context are stretched by the factor, short ones kept, those
// between blended: Llama 3's rule (meta-llama/llama-models, models/llama3/model.py).
void AddLlama3Factors(const JsonObject& scaling, const Rotation& rotation, ConfigKeys& keys) {
  const double factor = keys.Take(scaling.Number("factor")).value_or(8);
  const double low = keys.Take(scaling.Number("low_freq_factor")).value_or(1);
  const double high = keys.Take(scaling.Number("high_freq_factor")).value_or(4);
  const double n_ctx = keys.Take(scaling.Number("original_max_position_embeddings")).value_or(8192);
  ConfiguredTensor factors{.name = "rope_freqs.weight", .values = {}};
  for (uint32_t pair = 0; pair < rotation.n_dims / 2; ++pair) {
    const double wavelength =
        2 * std::numbers::pi * StableExp(2.0 * pair / rotation.n_dims * StableLog(rotation.theta));
    double divisor = 1;
    if (wavelength > n_ctx / low) {
      divisor = factor;
    } else if (wavelength > n_ctx / high) {
      const double smooth = (n_ctx / wavelength - low) / (high - low);
      divisor = 1 / ((1 - smooth) / factor + smooth);
    }
    factors.values.push_back(static_cast<float>(divisor));
  }
  keys.tensors.push_back(std::move(factors));
}

void AddFactors(const JsonObject& scaling, std::string_view key, std::string name,
                const Rotation& rotation, ConfigKeys& keys) {
  const auto numbers = keys.Take(scaling.Numbers(key));
  if (!numbers || numbers->size() != rotation.n_dims / 2) {
    keys.Note(scaling
                  .Bad(key, "expected a list of {} numbers, one for each rotated pair",
                       rotation.n_dims / 2)
                  .value());
    return;
  }
  keys.tensors.push_back({std::move(name), std::vector<float>(numbers->begin(), numbers->end())});
}

// LongRoPE, arXiv:2402.13753. GGUF's files name it by its tensors alone.
void AddLongRope(const JsonObject& scaling, const Rotation& rotation, ConfigKeys& keys) {
  AddFactors(scaling, "long_factor", "rope_factors_long.weight", rotation, keys);
  AddFactors(scaling, "short_factor", "rope_factors_short.weight", rotation, keys);
  const uint32_t n_ctx = keys.NeedU32("max_position_embeddings");
  const auto of_scaling = keys.Take(scaling.U32("original_max_position_embeddings"));
  const uint32_t original =
      of_scaling ? *of_scaling : keys.NeedU32("original_max_position_embeddings");
  keys.Set("rope.scaling.original_context_length", original);
  const double stretch = original == 0 ? 1 : static_cast<double>(n_ctx) / original;
  const auto given = keys.Take(scaling.Number("attention_factor"));
  const double own =
      stretch > 1 && original > 1 ? std::sqrt(1 + StableLog(stretch) / StableLog(original)) : 1;
  keys.SetF32("rope.scaling.attn_factor", given.value_or(own));
}

void CopyScaling(const JsonObject& scaling, const Rotation& rotation, ConfigKeys& keys) {
  auto type = keys.Take(scaling.String("rope_type"));
  if (!type) {
    type = keys.Take(scaling.String("type"));
  }
  // Sections for images turn alike in text; Gemma 4's proportion is its family's own.
  if (!type || *type == "default" || *type == "mrope" || *type == "proportional") {
    return;
  }
  if (*type == "llama3") {
    AddLlama3Factors(scaling, rotation, keys);
  } else if (*type == "longrope" || *type == "su") {
    AddLongRope(scaling, rotation, keys);
  } else if (*type == "linear" || *type == "dynamic" || *type == "yarn") {
    keys.SetString("rope.scaling.type", *type);
    keys.CopyF32Of(scaling, "factor", "rope.scaling.factor");
    if (const auto original = keys.Take(scaling.U32("original_max_position_embeddings"))) {
      keys.Set("rope.scaling.original_context_length", *original);
    }
    if (*type == "yarn") {
      CopyYarn(scaling, keys);
    }
  } else {
    keys.Note(scaling
                  .Bad("rope_type",
                       "\"{}\" is not supported; supported are default, linear, dynamic, yarn, "
                       "llama3, longrope",
                       Escape(*type))
                  .value());
  }
}

uint32_t RotatedDims(const std::vector<JsonObject>& objects, ConfigKeys& keys) {
  const auto head_dim = keys.U32("head_dim");
  const auto hidden = keys.U32("hidden_size");
  const auto heads = keys.U32("num_attention_heads");
  if (!head_dim && (!hidden || !heads || *heads == 0)) {
    return 0;
  }
  const double whole = head_dim ? *head_dim : *hidden / *heads;
  auto part = keys.Number("partial_rotary_factor");
  for (const JsonObject& object : objects) {
    part = part ? part : keys.Take(object.Number("partial_rotary_factor"));
  }
  const double used = part.value_or(keys.family().rotary_part);
  if (!(used > 0 && used <= 1)) {
    keys.Refuse("partial_rotary_factor", "it is {}, not above 0 and at most 1", used);
    return 0;
  }
  if (whole > kMaxHeadDim) {
    keys.Refuse(head_dim ? "head_dim" : "hidden_size", "it makes heads of {} values", whole);
    return 0;
  }
  return static_cast<uint32_t>(whole * used);
}

}  // namespace

std::optional<JsonObject> RopeOf(ConfigKeys& keys, std::string_view kind) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (auto object = keys.Object(key)) {
      auto of_kind = object->Has(kind) ? keys.Take(object->Object(kind)) : std::nullopt;
      return of_kind ? of_kind : object;
    }
  }
  return std::nullopt;
}

void CopyRope(ConfigKeys& keys) {
  std::vector<JsonObject> objects;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (auto object = keys.Object(key)) {
      auto of_kind = object->Has("full_attention") ? keys.Take(object->Object("full_attention"))
                                                   : std::nullopt;
      objects.push_back(of_kind ? *std::move(of_kind) : *std::move(object));
    }
  }
  Rotation rotation = {.n_dims = RotatedDims(objects, keys),
                       .theta = keys.Number("rope_theta").value_or(keys.family().rope_theta)};
  for (const JsonObject& object : objects) {
    rotation.theta = keys.Take(object.Number("rope_theta")).value_or(rotation.theta);
  }
  keys.SetF32("rope.freq_base", rotation.theta);
  if (rotation.n_dims != 0) {
    keys.Set("rope.dimension_count", rotation.n_dims);
  }
  if (!objects.empty()) {
    CopyScaling(objects.back(), rotation, keys);
  }
}

}  // namespace plimsoll::formats::safetensors
