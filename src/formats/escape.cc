#include "formats/escape.h"

#include <cstdint>

#include <fmt/format.h>

#include "base/utf8.h"

namespace plimsoll::formats {
namespace {

// Of one valid UTF-8 character.
uint32_t CodePoint(std::string_view character) {
  const auto lead = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) {
    return lead;
  }
  uint32_t code_point = lead & (0xFFU >> (character.size() + 1));
  for (const char c : character.substr(1)) {
    code_point = (code_point << 6) | (static_cast<uint8_t>(c) & 0x3FU);
  }
  return code_point;
}

// Control characters, and those that turn the direction of the text around them.
bool IsUnsafe(uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) ||
         (code_point >= 0x2028 && code_point <= 0x202E) ||
         (code_point >= 0x2066 && code_point <= 0x2069);
}

std::string EscapeOne(std::string_view character) {
  const uint32_t code_point = CodePoint(character);
  switch (code_point) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (!IsUnsafe(code_point)) {
    return std::string(character);
  }
  return code_point < 0x80 ? fmt::format("\\x{:02x}", code_point)
                           : fmt::format("\\u{{{:x}}}", code_point);
}

}  // namespace

std::string Escape(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= max_bytes) {
      return out + "…";
    }
    const size_t length = Utf8Length(text);
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    out += EscapeOne(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace plimsoll::formats
