// A model's key-value metadata with typed access only: a value is never reinterpreted, and a key of
// the wrong type is an error that names it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace plimsoll::formats {

// GGUF's value types, with its numbers.
enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

[[nodiscard]] std::string_view ValueTypeName(ValueType type);

// An array keeps its element type; integers of every width are held as int64_t, or as uint64_t for
// kU64. Arrays of arrays are refused by the parser.
struct Array {
  ValueType element_type = ValueType::kU32;
  std::variant<std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string>>
      values;

  [[nodiscard]] size_t size() const;
};

struct Value {
  ValueType type = ValueType::kU32;
  std::variant<int64_t, uint64_t, double, bool, std::string, Array> value;
};

class Metadata {
 public:
  // Adds or replaces.
  void Set(std::string key, Value value);
  // Shorthands for the common types.
  void SetU32(std::string key, uint32_t value);
  void SetF32(std::string key, float value);
  void SetBool(std::string key, bool value);
  void SetString(std::string key, std::string value);
  void SetStrings(std::string key, std::vector<std::string> values);

  [[nodiscard]] const Value* Find(std::string_view key) const;
  [[nodiscard]] bool Has(std::string_view key) const { return Find(key) != nullptr; }

  // Each fails with kBadModel naming the key when it is missing, has another type, or (for
  // integers) does not fit. The *Or forms return the fallback when the key is missing, and still
  // fail when it has another type.
  [[nodiscard]] Result<uint32_t> U32(std::string_view key) const;
  [[nodiscard]] Result<uint32_t> U32Or(std::string_view key, uint32_t fallback) const;
  [[nodiscard]] Result<float> F32(std::string_view key) const;
  [[nodiscard]] Result<float> F32Or(std::string_view key, float fallback) const;
  [[nodiscard]] Result<bool> BoolOr(std::string_view key, bool fallback) const;
  [[nodiscard]] Result<std::string_view> String(std::string_view key) const;
  [[nodiscard]] Result<std::string_view> StringOr(std::string_view key,
                                                  std::string_view fallback) const;
  // Arrays: null when the key is missing.
  [[nodiscard]] Result<const std::vector<std::string>*> Strings(std::string_view key) const;
  // Integers of any width and booleans, converted; floats of either width, converted.
  [[nodiscard]] Result<std::optional<std::vector<int64_t>>> Integers(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::vector<float>>> Floats(std::string_view key) const;
  // A scalar, or an array with one value a layer (for example attention.head_count_kv): always
  // returns `n` values.
  [[nodiscard]] Result<std::vector<uint32_t>> U32PerLayer(std::string_view key, uint32_t n) const;

  // In the order in which they were set.
  [[nodiscard]] const std::vector<std::string>& keys() const { return keys_; }

 private:
  std::map<std::string, Value, std::less<>> values_;
  std::vector<std::string> keys_;
};

}  // namespace plimsoll::formats
