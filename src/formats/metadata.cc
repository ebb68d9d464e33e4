#include "formats/metadata.h"

#include <array>
#include <type_traits>
#include <utility>

#include "base/checked.h"

namespace plimsoll::formats {
namespace {

constexpr std::array<std::string_view, 13> kValueTypeNames = {
    "U8", "I8", "U16", "I16", "U32", "I32", "F32", "bool", "string", "array", "U64", "I64", "F64"};

// A count of layers comes from a file too; no model is this deep.
constexpr uint32_t kMaxPerLayerValues = 65'536;

// "string", or "array of U32" for messages.
std::string Describe(const Value& value) {
  if (const auto* array = std::get_if<Array>(&value.value)) {
    return fmt::format("array of {}", ValueTypeName(array->element_type));
  }
  return std::string(ValueTypeName(value.type));
}

tl::unexpected<Error> Missing(std::string_view key) {
  return Fail(ErrorKind::kBadModel, "the metadata key '{}' is missing", key);
}

tl::unexpected<Error> WrongType(std::string_view key, const Value& value,
                                std::string_view expected) {
  return Fail(ErrorKind::kBadModel, "the metadata key '{}' holds {}; expected {}", key,
              Describe(value), expected);
}

template <class Integer>
Result<uint32_t> Narrow(std::string_view key, Integer value) {
  const auto narrow = CheckedCast<uint32_t>(value);
  if (!narrow) {
    return Fail(ErrorKind::kBadModel,
                "the metadata key '{}' holds {}, which is outside 0 … 4294967295", key, value);
  }
  return *narrow;
}

Result<uint32_t> ToU32(std::string_view key, const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value.value)) {
    return Narrow(key, *integer);
  }
  if (const auto* integer = std::get_if<uint64_t>(&value.value)) {
    return Narrow(key, *integer);
  }
  return WrongType(key, value, "an integer");
}

Result<float> ToF32(std::string_view key, const Value& value) {
  if (const auto* number = std::get_if<double>(&value.value)) {
    return static_cast<float>(*number);
  }
  return WrongType(key, value, "a float");
}

Result<std::string_view> ToString(std::string_view key, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    return std::string_view(*text);
  }
  return WrongType(key, value, "a string");
}

}  // namespace

std::string_view ValueTypeName(ValueType type) {
  const auto number = static_cast<uint32_t>(type);
  return number < kValueTypeNames.size() ? kValueTypeNames[number] : "unknown type";
}

size_t Array::size() const {
  return std::visit([](const auto& elements) { return elements.size(); }, values);
}

void Metadata::Set(std::string key, Value value) {
  const auto [entry, is_new] = values_.insert_or_assign(key, std::move(value));
  if (is_new) {
    keys_.push_back(std::move(key));
  }
}

void Metadata::SetU32(std::string key, uint32_t value) {
  Set(std::move(key), {ValueType::kU32, int64_t{value}});
}

void Metadata::SetF32(std::string key, float value) {
  Set(std::move(key), {ValueType::kF32, double{value}});
}

void Metadata::SetBool(std::string key, bool value) {
  Set(std::move(key), {ValueType::kBool, value});
}

void Metadata::SetString(std::string key, std::string value) {
  Set(std::move(key), {ValueType::kString, std::move(value)});
}

void Metadata::SetStrings(std::string key, std::vector<std::string> values) {
  Set(std::move(key), {ValueType::kArray, Array{ValueType::kString, std::move(values)}});
}

const Value* Metadata::Find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

Result<uint32_t> Metadata::U32(std::string_view key) const {
  const Value* value = Find(key);
  return value != nullptr ? ToU32(key, *value) : Missing(key);
}

Result<uint32_t> Metadata::U32Or(std::string_view key, uint32_t fallback) const {
  const Value* value = Find(key);
  return value != nullptr ? ToU32(key, *value) : fallback;
}

Result<float> Metadata::F32(std::string_view key) const {
  const Value* value = Find(key);
  return value != nullptr ? ToF32(key, *value) : Missing(key);
}

Result<float> Metadata::F32Or(std::string_view key, float fallback) const {
  const Value* value = Find(key);
  return value != nullptr ? ToF32(key, *value) : fallback;
}

Result<bool> Metadata::BoolOr(std::string_view key, bool fallback) const {
  const Value* value = Find(key);
  if (value == nullptr) {
    return fallback;
  }
  if (const auto* boolean = std::get_if<bool>(&value->value)) {
    return *boolean;
  }
  return WrongType(key, *value, "a bool");
}

Result<std::string_view> Metadata::String(std::string_view key) const {
  const Value* value = Find(key);
  return value != nullptr ? ToString(key, *value) : Missing(key);
}

Result<std::string_view> Metadata::StringOr(std::string_view key, std::string_view fallback) const {
  const Value* value = Find(key);
  return value != nullptr ? ToString(key, *value) : fallback;
}

Result<const std::vector<std::string>*> Metadata::Strings(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) {
    return nullptr;
  }
  if (const auto* array = std::get_if<Array>(&value->value)) {
    if (const auto* strings = std::get_if<std::vector<std::string>>(&array->values)) {
      return strings;
    }
  }
  return WrongType(key, *value, "an array of strings");
}

Result<std::optional<std::vector<int64_t>>> Metadata::Integers(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const auto* array = std::get_if<Array>(&value->value);
  if (array == nullptr) {
    return WrongType(key, *value, "an array of integers");
  }
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&array->values)) {
    return *integers;
  }
  if (const auto* flags = std::get_if<std::vector<bool>>(&array->values)) {
    return std::vector<int64_t>(flags->begin(), flags->end());
  }
  const auto* wide = std::get_if<std::vector<uint64_t>>(&array->values);
  if (wide == nullptr) {
    return WrongType(key, *value, "an array of integers");
  }
  std::vector<int64_t> integers;
  integers.reserve(wide->size());
  for (const uint64_t element : *wide) {
    const auto narrow = CheckedCast<int64_t>(element);
    if (!narrow) {
      return Fail(ErrorKind::kBadModel, "the metadata key '{}' holds {}, which is above {}", key,
                  element, INT64_MAX);
    }
    integers.push_back(*narrow);
  }
  return integers;
}

Result<std::optional<std::vector<float>>> Metadata::Floats(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const auto* array = std::get_if<Array>(&value->value);
  const auto* doubles =
      array == nullptr ? nullptr : std::get_if<std::vector<double>>(&array->values);
  if (doubles == nullptr) {
    return WrongType(key, *value, "an array of floats");
  }
  std::vector<float> floats;
  floats.reserve(doubles->size());
  for (const double element : *doubles) {
    floats.push_back(static_cast<float>(element));
  }
  return floats;
}

Result<std::vector<uint32_t>> Metadata::U32PerLayer(std::string_view key, uint32_t n) const {
  const Value* value = Find(key);
  if (value == nullptr) {
    return Missing(key);
  }
  if (n > kMaxPerLayerValues) {
    return Fail(ErrorKind::kBadModel, "{} layers are more than a model can have ({})", n,
                kMaxPerLayerValues);
  }
  if (!std::holds_alternative<Array>(value->value)) {
    auto scalar = ToU32(key, *value);
    if (!scalar) {
      return Forward(scalar);
    }
    return std::vector<uint32_t>(n, *scalar);
  }
  auto integers = Integers(key);
  if (!integers) {
    return Forward(integers);
  }
  if ((*integers)->size() != n) {
    return Fail(ErrorKind::kBadModel,
                "the metadata key '{}' has {} values; the model has {} layers", key,
                (*integers)->size(), n);
  }
  std::vector<uint32_t> layers;
  layers.reserve(n);
  for (const int64_t element : **integers) {
    auto narrow = Narrow(key, element);
    if (!narrow) {
      return Forward(narrow);
    }
    layers.push_back(*narrow);
  }
  return layers;
}

}  // namespace plimsoll::formats
