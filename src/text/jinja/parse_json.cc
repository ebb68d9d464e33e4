#include <simdjson.h>

#include "text/jinja/value.h"

namespace plimsoll::text::jinja {

namespace {

constexpr size_t kMaxDepth = 256;

// simdjson has checked the depth.
Value Convert(const simdjson::dom::element& element) {
  switch (element.type()) {
    case simdjson::dom::element_type::ARRAY: {
      const simdjson::dom::array array = element.get_array().value_unsafe();
      std::vector<Value> items;
      for (const simdjson::dom::element item : array) {
        items.push_back(Convert(item));
      }
      return Value::List(std::move(items));
    }
    case simdjson::dom::element_type::OBJECT: {
      const simdjson::dom::object object = element.get_object().value_unsafe();
      std::vector<Member> members;
      for (const simdjson::dom::key_value_pair field : object) {
        members.emplace_back(std::string(field.key), Convert(field.value));
      }
      return Value::Object(std::move(members));
    }
    case simdjson::dom::element_type::STRING:
      return element.get_string().value_unsafe();
    case simdjson::dom::element_type::INT64:
      return element.get_int64().value_unsafe();
    case simdjson::dom::element_type::UINT64:
      return element.get_uint64().value_unsafe();
    case simdjson::dom::element_type::DOUBLE:
      return element.get_double().value_unsafe();
    case simdjson::dom::element_type::BOOL:
      return element.get_bool().value_unsafe();
    case simdjson::dom::element_type::NULL_VALUE:
      return nullptr;
  }
  return {};
}

}  // namespace

Result<Value> ParseJson(std::string_view json) {
  simdjson::dom::parser parser;
  if (json.empty()) return Fail(ErrorKind::kFailed, "JSON: the text is empty");
  simdjson::error_code error = parser.allocate(json.size(), kMaxDepth);
  simdjson::dom::element root;
  if (!error) error = parser.parse(json.data(), json.size()).get(root);
  if (error) return Fail(ErrorKind::kFailed, "JSON: {}", simdjson::error_message(error));
  return Convert(root);
}

}  // namespace plimsoll::text::jinja
