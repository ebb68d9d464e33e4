// Values to text, as Python writes them.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace plimsoll::text::jinja {

// A double as JavaScript prints it: the shortest digits that read back, 1e21 and up with exponent.
[[nodiscard]] std::string NumberText(double number);

// A float as Python prints it: the shortest digits that read back, 1e16 and up with exponent.
[[nodiscard]] std::string FloatText(double number);

// What {{ value }}, ~ and join make of a value: nothing of an undefined one, and of a list or dict
// what Python's repr does.
void Print(const Value& value, Buffer& out);
[[nodiscard]] std::string PrintedText(const Value& value, Budget& budget);
// As Print, but strings are quoted (inside lists).
void PrintElement(const Value& value, Buffer& out);

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
