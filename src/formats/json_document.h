// A JSON file with typed access: what is missing or of another type is an error that names the file
// and the key. Built for hostile input: bounded size and depth, no exceptions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "base/result.h"
#include "io/file.h"

namespace plimsoll::formats {

// One object of a document. Valid as long as the document.
class JsonObject {
 public:
  JsonObject(std::string where, simdjson::dom::object object)
      : where_(std::move(where)), object_(object) {}

  [[nodiscard]] bool Has(std::string_view key) const;  // null counts as not there

  // kBadModel when the key is there with another type or, for integers, does not fit; nullopt when
  // it is missing or null.
  [[nodiscard]] Result<std::optional<uint32_t>> U32(std::string_view key) const;
  [[nodiscard]] Result<std::optional<double>> Number(std::string_view key) const;
  [[nodiscard]] Result<std::optional<bool>> Bool(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::string>> String(std::string_view key) const;
  [[nodiscard]] Result<std::optional<JsonObject>> Object(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> Strings(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::vector<double>>> Numbers(std::string_view key) const;
  // A token id, or a list of them.
  [[nodiscard]] Result<std::vector<uint32_t>> U32List(std::string_view key) const;

  [[nodiscard]] simdjson::dom::object raw() const { return object_; }
  // kBadModel: "config.json: key 'x': <what>".
  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> Bad(std::string_view key, fmt::format_string<Args...> format,
                                          Args&&... args) const {
    return BadText(key, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  [[nodiscard]] std::optional<simdjson::dom::element> Find(std::string_view key) const;
  [[nodiscard]] tl::unexpected<Error> BadText(std::string_view key, std::string what) const;

  std::string where_;
  simdjson::dom::object object_;
};

class JsonDocument {
 public:
  static constexpr size_t kMaxDepth = 64;

  // Parses `bytes` of the file at `offset`, which must be one JSON object. `limit` bounds memory:
  // parsing takes up to ten times as much.
  [[nodiscard]] static Result<JsonDocument> Parse(const io::File& file, uint64_t offset,
                                                  uint64_t bytes, uint64_t limit);
  [[nodiscard]] static Result<JsonDocument> Parse(const io::File& file, uint64_t limit) {
    return Parse(file, 0, file.size(), limit);
  }

  [[nodiscard]] const JsonObject& root() const { return *root_; }

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;
  std::optional<JsonObject> root_;
};

}  // namespace plimsoll::formats
