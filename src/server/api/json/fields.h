// Reading a request's JSON by name, with errors that name the place.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/fwd.hpp>

#include "server/api/api_error.h"

namespace plimsoll::server::api {

// Reads go on after an error and find nothing; the first error is kept and looked at once, at the
// end, so that a reader is a list of lines:
//
//   ApiResult<Task> ParseGenerate(std::string_view text) {
//     auto body = ParseBody(text);
//     if (!body) return tl::unexpected(std::move(body).error());
//     Reading reading;
//     Fields fields = reading.Open(*body);
//     Task task;
//     task.model = fields.Required("model").String().value_or("");
//     task.stream = fields["stream"].Bool().value_or(false);
//     options.temperature = fields["temperature"].Number({0, 2}).value_or(0.8);
//     for (const Field& item : fields.Required("messages").Array({.least = 1})) {
//       Fields message = item.Object();                       // "messages[2]"
//       const auto role = message.Required("role").String();  // "messages[2].role"
//       ...
//     }
//     if (const Field lora = fields["lora"]; lora.present()) {
//       lora.FailUnsupported("adapters are not offered yet");
//     }
//     fields.NoteUnknown();
//     if (reading.error) return tl::unexpected(*reading.error);
//     return task;
//   }
//
// A member that is null counts as absent. The values read are views of the body, which outlives
// all of this.
class Field;
class Fields;

struct Reading {
  std::optional<ApiError> error;     // the first
  std::vector<std::string> unknown;  // paths of members that nobody asked for, of NoteUnknown

  // The body's members; an error when it is no object.
  [[nodiscard]] Fields Open(const boost::json::value& body);
};

struct IntegerRange {
  int64_t least = std::numeric_limits<int64_t>::min();
  int64_t most = std::numeric_limits<int64_t>::max();
};
struct NumberRange {
  double least = 0;
  double most = 0;
};
struct LengthRange {  // of an array in items, of a string in bytes
  uint64_t least = 0;
  uint64_t most = std::numeric_limits<uint64_t>::max();
};

// One value and its place. What it is asked for and is not, is an error in the Reading; an absent
// one gives nothing, without an error.
class Field {
 public:
  Field(const boost::json::value* value, Reading* reading, std::string path);

  [[nodiscard]] bool present() const { return value_ != nullptr; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Null when absent.
  [[nodiscard]] const boost::json::value* value() const { return value_; }
  [[nodiscard]] bool is_string() const;
  [[nodiscard]] bool is_number() const;
  [[nodiscard]] bool is_bool() const;
  [[nodiscard]] bool is_array() const;
  [[nodiscard]] bool is_object() const;

  [[nodiscard]] std::optional<std::string_view> String(LengthRange bytes = {}) const;
  [[nodiscard]] std::optional<bool> Bool() const;
  // A number without a fraction, however it is written: 16, 16.0, 1.6e1.
  [[nodiscard]] std::optional<int64_t> Integer(IntegerRange range) const;
  [[nodiscard]] std::optional<double> Number(NumberRange range) const;
  // Empty when absent.
  [[nodiscard]] std::vector<Field> Array(LengthRange items = {}) const;
  // Without members when absent.
  [[nodiscard]] Fields Object() const;
  // The index of the string in `names`; the error lists them.
  [[nodiscard]] std::optional<size_t> OneOf(std::initializer_list<std::string_view> names) const;
  // Long lists, quicker than Array.
  [[nodiscard]] std::vector<int64_t> Integers(IntegerRange range, LengthRange items = {}) const;
  [[nodiscard]] std::vector<std::string> Strings(LengthRange bytes, LengthRange items = {}) const;
  // As JSON text; empty when absent.
  [[nodiscard]] std::string Json() const;

  // Status 400 with this place as `param`. `problem` goes on behind "'messages[2].role' ".
  void Fail(std::string_view code, std::string_view problem) const;
  // For what is known and not offered: "'n' is not supported: why."
  void FailUnsupported(std::string_view why) const;

 private:
  void FailType(std::string_view expected) const;

  const boost::json::value* value_;  // never a JSON null
  Reading* reading_;
  std::string path_;
};

// An object's members.
class Fields {
 public:
  Fields(const boost::json::object* object, Reading* reading, std::string path);

  // The member of that name, which counts as known from now on.
  [[nodiscard]] Field operator[](std::string_view key);
  // The same; an error when it is absent.
  [[nodiscard]] Field Required(std::string_view key);
  [[nodiscard]] bool Has(std::string_view key) const;

  // All of them, for objects whose keys are free; all count as known.
  struct Member;
  [[nodiscard]] std::vector<Member> Members();

  // Adds what was not asked for to Reading::unknown.
  void NoteUnknown();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool ok() const { return !reading_->error.has_value(); }
  // An error about the object as a whole, as Field::Fail.
  void Fail(std::string_view code, std::string_view problem) const;

 private:
  [[nodiscard]] std::string PathOf(std::string_view key) const;

  const boost::json::object* object_;  // null: without members
  Reading* reading_;
  std::string path_;
  std::vector<bool> asked_;  // by the member's place in the object
};

struct Fields::Member {
  std::string_view key;
  Field field;
};

}  // namespace plimsoll::server::api
