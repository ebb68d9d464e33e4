// config.json on its way to GGUF's metadata: typed reading that keeps the first error, and writing
// under the architecture's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/json_document.h"
#include "formats/metadata.h"
#include "formats/safetensors/dimensions.h"

namespace plimsoll::formats::safetensors {

struct Family;

// A tensor that the configuration has and no file.
struct ConfiguredTensor {
  std::string name;
  std::vector<float> values;
};

class ConfigKeys {
 public:
  // `text` is the part of the language model, or the same as `root`.
  ConfigKeys(const JsonObject& root, const JsonObject& text, const Family& family)
      : root_(root), text_(text), family_(family) {}

  [[nodiscard]] const Family& family() const { return family_; }

  // Of the language model's part, else of the whole. Unset when it is missing or wrong; the
  // family's default counts as given.
  [[nodiscard]] bool Has(std::string_view key) const { return Holder(key).Has(key); }
  [[nodiscard]] std::optional<uint32_t> U32(std::string_view key);
  [[nodiscard]] uint32_t U32Or(std::string_view key, uint32_t fallback) {
    return U32(key).value_or(fallback);
  }
  // 0 after noting that it is missing.
  [[nodiscard]] uint32_t NeedU32(std::string_view key);
  [[nodiscard]] std::optional<double> Number(std::string_view key) {
    return Take(Holder(key).Number(key));
  }
  [[nodiscard]] std::optional<bool> Bool(std::string_view key) {
    return Take(Holder(key).Bool(key));
  }
  // True, false, or a number that is not 0.
  [[nodiscard]] std::optional<bool> Flag(std::string_view key);
  [[nodiscard]] std::optional<std::string> String(std::string_view key) {
    return Take(Holder(key).String(key));
  }
  [[nodiscard]] std::vector<std::string> Strings(std::string_view key) {
    return Take(Holder(key).Strings(key)).value_or(std::vector<std::string>());
  }
  [[nodiscard]] std::vector<uint32_t> U32List(std::string_view key) {
    return Take(Holder(key).U32List(key));
  }
  [[nodiscard]] std::optional<JsonObject> Object(std::string_view key) {
    return Take(Holder(key).Object(key));
  }
  // The value; the default of its type when it is wrong.
  template <class T>
  T Take(Result<T> result) {
    if (!result) {
      Note(std::move(result).error());
      return T{};
    }
    return *std::move(result);
  }

  // GGUF's keys of the architecture.
  void Set(std::string_view to, uint32_t value) { metadata.SetU32(Key(to), value); }
  void SetF32(std::string_view to, double value) {
    metadata.SetF32(Key(to), static_cast<float>(value));
  }
  void SetBool(std::string_view to, bool value) { metadata.SetBool(Key(to), value); }
  void SetString(std::string_view to, std::string value) {
    metadata.SetString(Key(to), std::move(value));
  }
  // One value a layer.
  void SetList(std::string_view to, const std::vector<uint32_t>& values);
  void SetFlags(std::string_view to, const std::vector<bool>& values);
  std::optional<uint32_t> Copy(std::string_view from, std::string_view to);
  uint32_t CopyNeeded(std::string_view from, std::string_view to);
  void CopyF32(std::string_view from, std::string_view to) { CopyF32Of(Holder(from), from, to); }
  void CopyF32Of(const JsonObject& object, std::string_view from, std::string_view to);

  template <class... Args>
  void Refuse(std::string_view key, fmt::format_string<Args...> format, Args&&... args) {
    Note(Holder(key).Bad(key, format, std::forward<Args>(args)...).value());
  }
  void Note(Error error) {
    if (!error_) {
      error_ = std::move(error);
    }
  }
  // The first error.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  Metadata metadata;
  Dimensions dimensions;
  std::vector<ConfiguredTensor> tensors;

 private:
  [[nodiscard]] const JsonObject& Holder(std::string_view key) const {
    return text_.Has(key) || !root_.Has(key) ? text_ : root_;
  }
  [[nodiscard]] std::string Key(std::string_view key) const;

  const JsonObject& root_;
  const JsonObject& text_;
  const Family& family_;
  std::optional<Error> error_;
};

}  // namespace plimsoll::formats::safetensors
