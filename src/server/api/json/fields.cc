#include "server/api/json/fields.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/json/convert.h"

namespace plimsoll::server::api {
namespace {

namespace json = boost::json;

constexpr size_t kUnknownMost = 16;
constexpr size_t kNameMost = 64;

std::string_view KindName(json::kind kind) {
  switch (kind) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "something else";
}

// A client's key as logs and messages may show it.
std::string SafeName(std::string_view key) {
  std::string name(key.substr(0, kNameMost));
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-' && c != '.') {
      c = '?';
    }
  }
  return name;
}

std::string RangeText(double least, double most) {
  return least == most ? fmt::format("{}", least) : fmt::format("from {} to {}", least, most);
}

std::string RangeText(IntegerRange range) {
  constexpr IntegerRange kAny;
  if (range.least == kAny.least && range.most == kAny.most) return "of 64 bits";
  if (range.most == kAny.most) return fmt::format("of at least {}", range.least);
  if (range.least == kAny.least) return fmt::format("of at most {}", range.most);
  return fmt::format("from {} to {}", range.least, range.most);
}

// The integer that a number is; nothing when it has a fraction or 64 bits do not hold it.
std::optional<int64_t> ExactInteger(const json::value& value) {
  if (const int64_t* integer = value.if_int64()) return *integer;
  const double* number = value.if_double();
  if (number == nullptr || std::trunc(*number) != *number || std::abs(*number) > 9e15) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*number);
}

}  // namespace

Fields Reading::Open(const json::value& body) {
  if (!body.is_object()) {
    if (!error) {
      error = ApiError{.message = fmt::format("The body must be a JSON object; it is {}.",
                                              KindName(body.kind())),
                       .code = "invalid_type"};
    }
    return {nullptr, this, ""};
  }
  return {&body.get_object(), this, ""};
}

Field::Field(const json::value* value, Reading* reading, std::string path)
    : value_(value != nullptr && value->is_null() ? nullptr : value),
      reading_(reading),
      path_(std::move(path)) {}

bool Field::is_string() const { return present() && value_->is_string(); }
bool Field::is_number() const { return present() && value_->is_number(); }
bool Field::is_bool() const { return present() && value_->is_bool(); }
bool Field::is_array() const { return present() && value_->is_array(); }
bool Field::is_object() const { return present() && value_->is_object(); }

std::optional<std::string_view> Field::String(LengthRange bytes) const {
  if (!present()) return std::nullopt;
  if (!value_->is_string()) {
    FailType("a string");
    return std::nullopt;
  }
  const json::string& text = value_->get_string();
  if (text.size() < bytes.least || text.size() > bytes.most) {
    Fail("invalid_value",
         text.size() < bytes.least
             ? fmt::format("must have at least {} bytes; it has {}", bytes.least, text.size())
             : fmt::format("may have {} bytes at most; it has {}", bytes.most, text.size()));
    return std::nullopt;
  }
  return std::string_view(text.data(), text.size());
}

std::optional<bool> Field::Bool() const {
  if (!present()) return std::nullopt;
  if (!value_->is_bool()) {
    FailType("a boolean");
    return std::nullopt;
  }
  return value_->get_bool();
}

std::optional<int64_t> Field::Integer(IntegerRange range) const {
  if (!present()) return std::nullopt;
  if (!value_->is_number()) {
    FailType(fmt::format("an integer {}", RangeText(range)));
    return std::nullopt;
  }
  const std::optional<int64_t> integer = ExactInteger(*value_);
  if (!integer || *integer < range.least || *integer > range.most) {
    Fail("invalid_value", fmt::format("must be an integer {}", RangeText(range)));
    return std::nullopt;
  }
  return integer;
}

std::optional<double> Field::Number(NumberRange range) const {
  if (!present()) return std::nullopt;
  if (!value_->is_number()) {
    FailType(fmt::format("a number {}", RangeText(range.least, range.most)));
    return std::nullopt;
  }
  const auto number = value_->to_number<double>();
  if (!(number >= range.least && number <= range.most)) {
    Fail("invalid_value", fmt::format("must be a number {}", RangeText(range.least, range.most)));
    return std::nullopt;
  }
  return number;
}

std::vector<Field> Field::Array(LengthRange items) const {
  std::vector<Field> fields;
  if (!present()) return fields;
  if (!value_->is_array()) {
    FailType("an array");
    return fields;
  }
  const json::array& array = value_->get_array();
  if (array.size() < items.least || array.size() > items.most) {
    Fail("invalid_value",
         array.size() < items.least
             ? fmt::format("must have at least {} items; it has {}", items.least, array.size())
             : fmt::format("may have {} items at most; it has {}", items.most, array.size()));
    return fields;
  }
  fields.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    fields.emplace_back(&array[i], reading_, fmt::format("{}[{}]", path_, i));
  }
  return fields;
}

Fields Field::Object() const {
  if (!present()) return {nullptr, reading_, path_};
  if (!value_->is_object()) {
    FailType("an object");
    return {nullptr, reading_, path_};
  }
  return {&value_->get_object(), reading_, path_};
}

std::optional<size_t> Field::OneOf(std::initializer_list<std::string_view> names) const {
  const std::optional<std::string_view> text = String();
  if (!text) return std::nullopt;
  const auto* const found = std::find(names.begin(), names.end(), *text);
  if (found == names.end()) {
    Fail("invalid_value", fmt::format("must be one of '{}'", fmt::join(names, "', '")));
    return std::nullopt;
  }
  return static_cast<size_t>(found - names.begin());
}

std::vector<int64_t> Field::Integers(IntegerRange range, LengthRange items) const {
  std::vector<int64_t> integers;
  if (!present()) return integers;
  if (!value_->is_array()) {
    FailType("an array of integers");
    return integers;
  }
  const json::array& array = value_->get_array();
  if (array.size() < items.least || array.size() > items.most) {
    (void)Array(items);  // says so
    return integers;
  }
  integers.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    const std::optional<int64_t> integer = ExactInteger(array[i]);
    if (!integer || *integer < range.least || *integer > range.most) {
      const Field item(&array[i], reading_, fmt::format("{}[{}]", path_, i));
      item.Fail(array[i].is_number() ? "invalid_value" : "invalid_type",
                fmt::format("must be an integer {}", RangeText(range)));
      return {};
    }
    integers.push_back(*integer);
  }
  return integers;
}

std::vector<std::string> Field::Strings(LengthRange bytes, LengthRange items) const {
  std::vector<std::string> strings;
  for (const Field& item : Array(items)) {
    if (!item.present()) {
      item.Fail("invalid_type", "must be a string; it is null");
      return {};
    }
    strings.emplace_back(item.String(bytes).value_or(""));
  }
  return strings;
}

std::string Field::Json() const { return present() ? ToJson(*value_) : std::string(); }

void Field::Fail(std::string_view code, std::string_view problem) const {
  if (reading_->error) return;
  reading_->error = ApiError{.status = 400,
                             .message = fmt::format("'{}' {}.", path_, problem),
                             .code = std::string(code),
                             .param = path_};
}

void Field::FailUnsupported(std::string_view why) const {
  Fail("unsupported_value", fmt::format("is not supported: {}", why));
}

void Field::FailType(std::string_view expected) const {
  Fail("invalid_type", fmt::format("must be {}; it is {}", expected, KindName(value_->kind())));
}

Fields::Fields(const json::object* object, Reading* reading, std::string path)
    : object_(object), reading_(reading), path_(std::move(path)) {
  if (object_ != nullptr) asked_.resize(object_->size());
}

std::string Fields::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

Field Fields::operator[](std::string_view key) {
  const json::value* value = nullptr;
  if (object_ != nullptr) {
    const auto* const found = object_->find(json::string_view(key.data(), key.size()));
    if (found != object_->end()) {
      asked_[static_cast<size_t>(found - object_->begin())] = true;
      value = &found->value();
    }
  }
  return {value, reading_, PathOf(key)};
}

Field Fields::Required(std::string_view key) {
  Field field = (*this)[key];
  if (!field.present()) field.Fail("missing_required_parameter", "is required");
  return field;
}

bool Fields::Has(std::string_view key) const {
  if (object_ == nullptr) return false;
  const json::value* value = object_->if_contains(json::string_view(key.data(), key.size()));
  return value != nullptr && !value->is_null();
}

std::vector<Fields::Member> Fields::Members() {
  std::vector<Member> members;
  if (object_ == nullptr) return members;
  asked_.assign(asked_.size(), true);
  members.reserve(object_->size());
  for (const json::key_value_pair& pair : *object_) {
    const std::string_view key(pair.key().data(), pair.key().size());
    members.push_back({key, Field(&pair.value(), reading_, PathOf(SafeName(key)))});
  }
  return members;
}

void Fields::NoteUnknown() {
  for (size_t i = 0; i < asked_.size() && reading_->unknown.size() < kUnknownMost; ++i) {
    if (!asked_[i]) {
      const auto& key = (object_->begin() + static_cast<std::ptrdiff_t>(i))->key();
      reading_->unknown.push_back(PathOf(SafeName({key.data(), key.size()})));
    }
  }
}

void Fields::Fail(std::string_view code, std::string_view problem) const {
  Field(nullptr, reading_, path_).Fail(code, problem);
}

}  // namespace plimsoll::server::api
