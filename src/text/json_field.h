// A required member of a JSON object, with an error that names it.
#pragma once

#include <string_view>

#include <simdjson.h>

#include "base/result.h"

namespace plimsoll::text {

// `name` is the member's full name in messages ("model.vocab"). `object` is a dom::object or a
// dom::element.
template <class T, class Object>
[[nodiscard]] Result<T> Field(const Object& object, std::string_view key, std::string_view name) {
  T value;
  const auto error = object[key].get(value);
  if (error == simdjson::NO_SUCH_FIELD) {
    return Fail(ErrorKind::kBadModel, "{}: missing", name);
  }
  if (error != simdjson::SUCCESS) {
    return Fail(ErrorKind::kBadModel, "{}: {}", name, simdjson::error_message(error));
  }
  return value;
}

// A member that may be missing or of another type.
template <class T, class Object>
[[nodiscard]] T FieldOr(const Object& object, std::string_view key, T fallback) {
  T value;
  return object[key].get(value) == simdjson::SUCCESS ? value : fallback;
}

}  // namespace plimsoll::text
