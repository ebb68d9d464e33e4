// Values to text, as the reference (a JavaScript program) writes them.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace plimsoll::text::jinja {

// A double as JavaScript prints it: the shortest digits that read back, 1e21 and up with exponent.
[[nodiscard]] std::string NumberText(double number);

// What {{ value }} prints; nothing for none and undefined.
void Print(const Value& value, Buffer& out);
// As Print, but none and undefined print their names (inside lists).
void PrintElement(const Value& value, Buffer& out);
// What ~ and + and join make of a value: 1.0 becomes "1" and a list its elements joined by commas.
void PrintRaw(const Value& value, Buffer& out);
[[nodiscard]] std::string RawText(const Value& value, Budget& budget);

struct JsonOptions {
  size_t indent = 0;
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool undefined_as_null = true;
  // Without them: ", " and ": ", or "," at the end of indented lines.
  std::optional<std::string> item_separator;
  std::optional<std::string> key_separator;
};

void PrintJson(const Value& value, const JsonOptions& options, Buffer& out);
void PrintJsonString(std::string_view text, bool ensure_ascii, Buffer& out);

}  // namespace plimsoll::text::jinja
