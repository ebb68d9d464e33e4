#include "formats/escape.h"

#include <cstdint>
#include <optional>

#include <fmt/format.h>

namespace plimsoll::formats {
namespace {

struct Character {
  uint32_t code_point = 0;
  size_t bytes = 0;
};

// The character at the start of `text`; nullopt when it is not well-formed UTF-8.
std::optional<Character> Decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) {
    return Character{lead, 1};
  }
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) {
    return std::nullopt;
  }
  uint32_t code_point = lead & (0xFFU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return std::nullopt;
    }
    code_point = (code_point << 6) | (byte(i) & 0x3FU);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < kSmallest[bytes] || code_point > 0x10FFFF || surrogate) {
    return std::nullopt;
  }
  return Character{code_point, bytes};
}

// Control characters, and those that turn the direction of the text around them.
bool IsUnsafe(uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) ||
         (code_point >= 0x2028 && code_point <= 0x202E) ||
         (code_point >= 0x2066 && code_point <= 0x2069);
}

std::string EscapeOne(uint32_t code_point) {
  switch (code_point) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    default:
      return code_point < 0x80 ? fmt::format("\\x{:02x}", code_point)
                               : fmt::format("\\u{{{:x}}}", code_point);
  }
}

}  // namespace

std::string Escape(std::string_view text, size_t max_bytes) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    if (out.size() >= max_bytes) {
      return out + "…";
    }
    const auto character = Decode(text.substr(i));
    if (!character) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i]));
      ++i;
      continue;
    }
    if (character->code_point == '\\') {
      out += "\\\\";
    } else if (IsUnsafe(character->code_point)) {
      out += EscapeOne(character->code_point);
    } else {
      out += text.substr(i, character->bytes);
    }
    i += character->bytes;
  }
  return out;
}

}  // namespace plimsoll::formats
