#include "kv/precision.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace plimsoll::kv {
namespace {

using tensor::KvType;

std::optional<uint32_t> ParseIndex(std::string_view text) {
  uint32_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  return is_whole ? std::optional(index) : std::nullopt;
}

Result<Precision::Layers> ParseLayers(std::string_view text) {
  const size_t equals = std::min(text.find('='), text.size());
  const std::string_view range = text.substr(0, equals);
  const size_t dash = range.find('-');
  const auto first = ParseIndex(range.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : ParseIndex(range.substr(dash + 1));
  if (equals == text.size() || !first || !last || *last < *first) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not layers and their type, as in 0-1=f16", text);
  }
  const auto type = ParseKvType(text.substr(equals + 1));
  if (!type) {
    return tl::unexpected(type.error());
  }
  return Precision::Layers{*first, *last, *type};
}

}  // namespace

KvType Precision::TypeOf(uint32_t layer_idx) const {
  const auto found = std::find_if(layers.rbegin(), layers.rend(), [&](const Layers& some) {
    return some.first <= layer_idx && layer_idx <= some.last;
  });
  return found == layers.rend() ? type : found->type;
}

bool Precision::is_lossy() const {
  return type != KvType::kF16 ||
         std::ranges::any_of(layers, [](const Layers& some) { return some.type != KvType::kF16; });
}

std::string Precision::Text() const {
  std::string text(NameOf(type));
  for (const Layers& some : layers) {
    text += some.first == some.last ? fmt::format(", {}", some.first)
                                    : fmt::format(", {}-{}", some.first, some.last);
    text += fmt::format("={}", NameOf(some.type));
  }
  return text + (rotate ? ", rotated" : "");
}

Result<KvType> ParseKvType(std::string_view text) {
  if (const auto type = tensor::KvTypeOf(text)) {
    return *type;
  }
  return Fail(ErrorKind::kUsage, "\"{}\" is not one of f16, bf16, q8 (q8_0), q4 (q4_0)", text);
}

Result<std::vector<Precision::Layers>> ParseKvTypeLayers(std::string_view text) {
  std::vector<Precision::Layers> layers;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    auto some = ParseLayers(text.substr(at, comma - at));
    if (!some) {
      return Forward(some);
    }
    layers.push_back(*some);
    at = comma + 1;
  }
  return layers;
}

}  // namespace plimsoll::kv
