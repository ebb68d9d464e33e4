// Cutting text into lines, fields and numbers.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace plimsoll::memory::trace {

// The text up to `separator`, which is cut off `rest` with it.
inline std::string_view CutAt(std::string_view& rest, char separator) {
  const size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view field = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return field;
}

// A line without its end, "\n" or "\r\n".
inline std::string_view CutLine(std::string_view& rest) {
  std::string_view line = CutAt(rest, '\n');
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

// All of `field`, or nothing.
template <class T>
std::optional<T> ParseNumber(std::string_view field) {
  T value = {};
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  const bool whole = error == std::errc() && end == field.data() + field.size();
  return whole ? std::optional(value) : std::nullopt;
}

}  // namespace plimsoll::memory::trace
