#include "formats/json_document.h"

#include "base/checked.h"
#include "formats/escape.h"

namespace plimsoll::formats {

using simdjson::dom::element;

std::optional<element> JsonObject::Find(std::string_view key) const {
  element found;
  if (object_.at_key(key).get(found) != simdjson::SUCCESS || found.is_null()) {
    return std::nullopt;
  }
  return found;
}

tl::unexpected<Error> JsonObject::BadText(std::string_view key, std::string what) const {
  return Fail(ErrorKind::kBadModel, "{}: key '{}': {}", where_, Escape(key), what);
}

bool JsonObject::Has(std::string_view key) const { return Find(key).has_value(); }

namespace {

std::optional<uint32_t> ToU32(element value) {
  uint64_t number = 0;
  if (value.get_uint64().get(number) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  return CheckedCast<uint32_t>(number);
}

}  // namespace

Result<std::optional<uint32_t>> JsonObject::U32(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  const auto number = ToU32(*value);
  if (!number) {
    return Bad(key, "expected an integer from 0 to 4294967295");
  }
  return number;
}

Result<std::optional<double>> JsonObject::Number(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  double number = 0;
  if (value->get_double().get(number) != simdjson::SUCCESS) {
    return Bad(key, "expected a number");
  }
  return number;
}

Result<std::optional<bool>> JsonObject::Bool(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  bool flag = false;
  if (value->get_bool().get(flag) != simdjson::SUCCESS) {
    return Bad(key, "expected true or false");
  }
  return flag;
}

Result<std::optional<std::string>> JsonObject::String(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  std::string_view text;
  if (value->get_string().get(text) != simdjson::SUCCESS) {
    return Bad(key, "expected a string");
  }
  return std::string(text);
}

Result<std::optional<JsonObject>> JsonObject::Object(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  simdjson::dom::object object;
  if (value->get_object().get(object) != simdjson::SUCCESS) {
    return Bad(key, "expected an object");
  }
  return JsonObject(fmt::format("{}: {}", where_, Escape(key)), object);
}

Result<std::optional<std::vector<std::string>>> JsonObject::Strings(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  simdjson::dom::array array;
  if (value->get_array().get(array) != simdjson::SUCCESS) {
    return Bad(key, "expected a list of strings");
  }
  std::vector<std::string> strings;
  for (const element item : array) {
    std::string_view text;
    if (item.get_string().get(text) != simdjson::SUCCESS) {
      return Bad(key, "expected a list of strings");
    }
    strings.emplace_back(text);
  }
  return strings;
}

Result<std::optional<std::vector<double>>> JsonObject::Numbers(std::string_view key) const {
  const auto value = Find(key);
  if (!value) {
    return std::nullopt;
  }
  simdjson::dom::array array;
  if (value->get_array().get(array) != simdjson::SUCCESS) {
    return Bad(key, "expected a list of numbers");
  }
  std::vector<double> numbers;
  for (const element item : array) {
    double number = 0;
    if (item.get_double().get(number) != simdjson::SUCCESS) {
      return Bad(key, "expected a list of numbers");
    }
    numbers.push_back(number);
  }
  return numbers;
}

Result<std::vector<uint32_t>> JsonObject::U32List(std::string_view key) const {
  const auto value = Find(key);
  std::vector<uint32_t> numbers;
  if (!value) {
    return numbers;
  }
  if (const auto number = ToU32(*value)) {
    return std::vector{*number};
  }
  simdjson::dom::array array;
  if (value->get_array().get(array) != simdjson::SUCCESS) {
    return Bad(key, "expected an integer or a list of integers");
  }
  for (const element item : array) {
    const auto number = ToU32(item);
    if (!number) {
      return Bad(key, "expected a list of integers from 0 to 4294967295");
    }
    numbers.push_back(*number);
  }
  return numbers;
}

Result<JsonDocument> JsonDocument::Parse(const io::File& file, uint64_t offset, uint64_t bytes,
                                         uint64_t limit) {
  if (bytes > limit) {
    return Fail(ErrorKind::kBadModel, "{}: {} bytes of JSON are more than the {} that are allowed",
                file.name(), bytes, limit);
  }
  simdjson::padded_string text(bytes);
  auto read = file.ReadAt(offset, std::as_writable_bytes(std::span(text.data(), bytes)));
  if (!read) {
    return Forward(read);
  }
  JsonDocument document;
  document.parser_ = std::make_unique<simdjson::dom::parser>(limit);
  simdjson::dom::object object;
  auto error = document.parser_->allocate(bytes, kMaxDepth);
  if (error == simdjson::SUCCESS) {
    error = document.parser_->parse(text).get_object().get(object);
  }
  if (error != simdjson::SUCCESS) {
    return Fail(ErrorKind::kBadModel, "{}: not a JSON object: {} (at byte {})", file.name(),
                simdjson::error_message(error), offset);
  }
  document.root_.emplace(file.name(), object);
  return document;
}

}  // namespace plimsoll::formats
