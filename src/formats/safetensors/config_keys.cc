#include "formats/safetensors/config_keys.h"

#include <algorithm>

#include "formats/safetensors/family.h"

namespace plimsoll::formats::safetensors {

std::string ConfigKeys::Key(std::string_view key) const {
  return fmt::format("{}.{}", family_.gguf, key);
}

std::optional<uint32_t> ConfigKeys::U32(std::string_view key) {
  if (Has(key)) {
    return Take(Holder(key).U32(key));
  }
  const auto known = std::ranges::find(family_.defaults, key, &Default::key);
  return known == family_.defaults.end() ? std::nullopt : std::optional(known->value);
}

uint32_t ConfigKeys::NeedU32(std::string_view key) {
  const auto value = U32(key);
  if (!value && !Has(key)) {
    Refuse(key, "it is missing");
  }
  return value.value_or(0);
}

std::optional<bool> ConfigKeys::Flag(std::string_view key) {
  const auto number = Holder(key).Number(key);
  return number && *number ? std::optional(**number != 0) : Bool(key);
}

std::optional<uint32_t> ConfigKeys::Copy(std::string_view from, std::string_view to) {
  const auto value = U32(from);
  if (value) {
    Set(to, *value);
  }
  return value;
}

uint32_t ConfigKeys::CopyNeeded(std::string_view from, std::string_view to) {
  const uint32_t value = NeedU32(from);
  Set(to, value);
  return value;
}

void ConfigKeys::CopyF32Of(const JsonObject& object, std::string_view from, std::string_view to) {
  if (const auto value = Take(object.Number(from))) {
    SetF32(to, *value);
  }
}

void ConfigKeys::SetList(std::string_view to, const std::vector<uint32_t>& values) {
  metadata.Set(Key(to),
               {ValueType::kArray,
                Array{ValueType::kU32, std::vector<int64_t>(values.begin(), values.end())}});
}

void ConfigKeys::SetFlags(std::string_view to, const std::vector<bool>& values) {
  metadata.Set(Key(to), {ValueType::kArray, Array{ValueType::kBool, values}});
}

}  // namespace plimsoll::formats::safetensors
