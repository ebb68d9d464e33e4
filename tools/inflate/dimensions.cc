#include "tools/inflate/dimensions.h"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace plimsoll::inflate {
namespace {

using formats::Metadata;

// Hidden sizes and head counts from the config.json of allenai/OLMoE-1B-7B-0924 and
// Qwen/Qwen3-30B-A3B.
constexpr std::array<Shape, 2> kShapes = {
    {{"olmoe-1b-7b", "OLMoE-1B-7B", {16, 2048, 16, 16, 128, 1024}},
     {"qwen3-30b-a3b-64e", "Qwen3-30B-A3B with 64 experts a layer", {48, 2048, 32, 4, 128, 768}}}};

// Beside those that SetDimensions writes: keys whose meaning widening preserves as they are.
constexpr std::array<std::string_view, 6> kKeptKeys = {
    "vocab_size",     "context_length", "attention.layer_norm_rms_epsilon",
    "rope.freq_base", "expert_count",   "expert_used_count"};

struct DimensionKey {
  std::string_view key;
  uint32_t Dimensions::*dimension;
};
constexpr std::array<DimensionKey, 9> kDimensionKeys = {
    {{"block_count", &Dimensions::n_layers},
     {"embedding_length", &Dimensions::hidden_dim},
     {"attention.head_count", &Dimensions::n_heads},
     {"attention.head_count_kv", &Dimensions::n_kv_heads},
     {"attention.key_length", &Dimensions::head_dim},
     {"attention.value_length", &Dimensions::head_dim},
     {"rope.dimension_count", &Dimensions::head_dim},
     {"expert_feed_forward_length", &Dimensions::expert_ff_dim},
     {"feed_forward_length", &Dimensions::expert_ff_dim}}};

std::string FullKey(std::string_view key) { return fmt::format("{}.{}", kArchitecture, key); }

// Of the rest nobody has shown that the wider model means the same by it.
Result<> CheckKeys(const Metadata& metadata) {
  const std::string prefix = FullKey("");
  for (const std::string& key : metadata.keys()) {
    if (!key.starts_with(prefix)) {
      continue;
    }
    const auto name = std::string_view(key).substr(prefix.size());
    if (std::ranges::find(kKeptKeys, name) == kKeptKeys.end() &&
        std::ranges::find(kDimensionKeys, name, &DimensionKey::key) == kDimensionKeys.end()) {
      return Fail(ErrorKind::kBadModel, "the key '{}' is not one that widening preserves", key);
    }
  }
  return {};
}

}  // namespace

std::span<const Shape> Shapes() { return kShapes; }

Result<Dimensions> ShapeNamed(std::string_view name) {
  const auto* found = std::ranges::find(kShapes, name, &Shape::name);
  if (found == kShapes.end()) {
    std::array<std::string_view, kShapes.size()> names;
    std::ranges::transform(kShapes, names.begin(), &Shape::name);
    return Fail(ErrorKind::kUsage, "no shape '{}'; there are {}", name, fmt::join(names, ", "));
  }
  return found->dimensions;
}

Result<Dimensions> ReadDimensions(const Metadata& metadata) {
  const auto architecture = metadata.String("general.architecture");
  if (!architecture || *architecture != kArchitecture) {
    return Fail(ErrorKind::kBadModel, "the model's architecture is '{}'; only {} can be widened",
                architecture.value_or("unknown"), kArchitecture);
  }
  if (auto known = CheckKeys(metadata); !known) {
    return Forward(known);
  }
  Dimensions dimensions;
  for (const auto& [key, dimension] : kDimensionKeys) {
    // Every expert layer has the one; what a dense layer would have does not matter.
    if (key == "feed_forward_length") {
      continue;
    }
    auto value = metadata.U32(FullKey(key));
    if (!value) {
      return Forward(value);
    }
    uint32_t& held = dimensions.*dimension;
    if (*value == 0 || (held != 0 && held != *value)) {
      return Fail(ErrorKind::kBadModel, "the key '{}' is {}, which widening cannot start from",
                  FullKey(key), *value);
    }
    held = *value;
  }
  if (dimensions.head_dim % 2 != 0) {
    return Fail(ErrorKind::kBadModel, "the key '{}' is {}, which makes no rotated pairs",
                FullKey("attention.key_length"), dimensions.head_dim);
  }
  return dimensions;
}

void SetDimensions(const Dimensions& dimensions, Metadata& metadata) {
  for (const auto& [key, dimension] : kDimensionKeys) {
    metadata.SetU32(FullKey(key), dimensions.*dimension);
  }
}

Result<> CheckWidening(const Dimensions& from, const Dimensions& to) {
  const struct {
    std::string_view name;
    uint32_t from;
    uint32_t to;
  } multiples[] = {{"hidden size", from.hidden_dim, to.hidden_dim},
                   {"number of heads", from.n_heads, to.n_heads},
                   {"number of KV heads", from.n_kv_heads, to.n_kv_heads},
                   {"head size", from.head_dim, to.head_dim},
                   {"expert size", from.expert_ff_dim, to.expert_ff_dim}};
  for (const auto& [name, small, wide] : multiples) {
    if (wide > kDimensionMax) {
      return Fail(ErrorKind::kUsage, "the {} {} is more than {}", name, wide, kDimensionMax);
    }
    if (wide == 0 || wide % small != 0) {
      return Fail(ErrorKind::kUsage, "the {} {} is no multiple of the model's {}", name, wide,
                  small);
    }
  }
  if (to.n_heads % to.n_kv_heads != 0) {
    return Fail(ErrorKind::kUsage, "{} heads are no multiple of {} KV heads", to.n_heads,
                to.n_kv_heads);
  }
  if (uint64_t{to.n_heads} * to.head_dim > kDimensionMax || to.n_layers > kDimensionMax) {
    return Fail(ErrorKind::kUsage, "{} heads of {} or {} layers are more than {}", to.n_heads,
                to.head_dim, to.n_layers, kDimensionMax);
  }
  if (to.n_layers < from.n_layers) {
    return Fail(ErrorKind::kUsage, "{} layers are fewer than the model's {}", to.n_layers,
                from.n_layers);
  }
  return {};
}

}  // namespace plimsoll::inflate
