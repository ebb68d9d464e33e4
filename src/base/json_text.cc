#include "base/json_text.h"

#include <cmath>

#include <fmt/format.h>

#include "base/utf8.h"

namespace plimsoll {
namespace {

void AppendEscaped(std::string& out, std::string_view character) {
  const auto byte = static_cast<unsigned char>(character[0]);
  switch (byte) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (byte < 0x20 || byte == 0x7F) {
    out += fmt::format("\\u{:04x}", byte);
  } else {
    out += character;
  }
}

}  // namespace

JsonText& JsonText::Key(std::string_view key) {
  String(key);
  text_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::String(std::string_view text) {
  Separate();
  text_ += '"';
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) {
      text_ += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      AppendEscaped(text_, text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  text_ += '"';
  needs_comma_ = true;
  return *this;
}

JsonText& JsonText::Number(double value) {
  return std::isfinite(value) ? Literal(fmt::format("{}", value)) : Null();
}

JsonText& JsonText::Number(float value) {
  return std::isfinite(value) ? Literal(fmt::format("{}", value)) : Null();
}

JsonText& JsonText::Open(char bracket) {
  Separate();
  text_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::Close(char bracket) {
  text_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonText& JsonText::Literal(std::string_view literal) {
  Separate();
  text_ += literal;
  needs_comma_ = true;
  return *this;
}

void JsonText::Separate() {
  if (needs_comma_) {
    text_ += ',';
  }
}

}  // namespace plimsoll
