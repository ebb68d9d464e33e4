#include "text/jinja/unicode.h"

#include <algorithm>

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

namespace plimsoll::text::jinja {

namespace {

constexpr uint32_t kReplacement = 0xFFFD;
constexpr uint32_t kFirstAstral = 0x10000;

struct Decoded {
  int32_t code_point = -1;  // negative when the bytes are no UTF-8
  size_t bytes = 1;
};

Decoded Decode(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1};
  // The macro counts in int32: a window of one character is all that it needs.
  const auto* window = reinterpret_cast<const uint8_t*>(text.data() + at);
  const auto size = static_cast<int32_t>(std::min<size_t>(text.size() - at, 4));
  int32_t next = 0;
  int32_t code_point = -1;
  U8_NEXT(window, next, size, code_point);
  if (code_point < 0) return {-1, 1};
  return {code_point, static_cast<size_t>(next)};
}

constexpr bool IsSpace(int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000 || c == 0xFEFF;
}

template <class Ascii, class Full>
std::string MapCase(std::string_view text, const Ascii& ascii, const Full& full) {
  std::string mapped(text);
  if (std::ranges::all_of(text, [](char c) { return static_cast<uint8_t>(c) < 0x80; })) {
    std::ranges::transform(mapped, mapped.begin(), ascii);
    return mapped;
  }
  auto unicode = icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  full(unicode);
  mapped.clear();
  unicode.toUTF8String(mapped);
  return mapped;
}

constexpr char AsciiUpper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr char AsciiLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

bool IsPrintable(uint32_t code_point) {
  constexpr uint32_t kUnprintable = U_GC_C_MASK | U_GC_Z_MASK;
  return code_point == ' ' || (U_GET_GC_MASK(static_cast<int32_t>(code_point)) & kUnprintable) == 0;
}

size_t CharBytes(std::string_view text, size_t at) { return Decode(text, at).bytes; }

uint32_t CodePointAt(std::string_view text, size_t at) {
  const Decoded decoded = Decode(text, at);
  if (decoded.code_point < 0) return static_cast<uint8_t>(text[at]);
  return static_cast<uint32_t>(decoded.code_point);
}

size_t SpaceBytesAt(std::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  const Decoded decoded = Decode(text, at);
  return IsSpace(decoded.code_point) ? decoded.bytes : 0;
}

size_t SpaceBytesBefore(std::string_view text, size_t at) {
  if (at == 0) return 0;
  size_t start = at - 1;
  while (start > 0 && at - start < 4 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
  return start + SpaceBytesAt(text, start) == at ? at - start : 0;
}

std::string_view TrimStart(std::string_view text) {
  size_t at = 0;
  while (const size_t bytes = SpaceBytesAt(text, at)) at += bytes;
  return text.substr(at);
}

std::string_view TrimEnd(std::string_view text) {
  size_t end = text.size();
  while (const size_t bytes = SpaceBytesBefore(text, end)) end -= bytes;
  return text.substr(0, end);
}

void AppendUtf8(std::string& out, uint32_t code_point) {
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
    code_point = kReplacement;
  }
  uint8_t bytes[4];
  int32_t size = 0;
  U8_APPEND_UNSAFE(bytes, size, code_point);
  out.append(bytes, bytes + size);
}

size_t Utf16Length(std::string_view text) {
  size_t units = 0;
  for (size_t at = 0; at < text.size();) {
    const Decoded decoded = Decode(text, at);
    units += decoded.bytes == 4 ? 2 : 1;
    at += decoded.bytes;
  }
  return units;
}

std::string Utf16UnitAt(std::string_view text, size_t unit) {
  size_t units = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharBytes(text, at);
    const size_t width = bytes == 4 ? 2 : 1;
    if (unit < units + width) {
      if (width == 1) return std::string(text.substr(at, bytes));
      break;
    }
    units += width;
    at += bytes;
  }
  std::string half;
  AppendUtf8(half, kReplacement);
  return half;
}

int CompareUtf16(std::string_view a, std::string_view b) {
  const auto [at_a, at_b] = std::ranges::mismatch(a, b);
  if (at_a == a.end() || at_b == b.end()) {
    return static_cast<int>(at_a != a.end()) - static_cast<int>(at_b != b.end());
  }
  const auto byte_a = static_cast<uint8_t>(*at_a);
  const auto byte_b = static_cast<uint8_t>(*at_b);
  const bool a_first = byte_a < byte_b;
  // Surrogates sort before U+E000..U+FFFF, whose UTF-8 starts with EE or EF.
  const bool swapped = std::max(byte_a, byte_b) >= 0xF0 && std::min(byte_a, byte_b) >= 0xEE &&
                       std::min(byte_a, byte_b) < 0xF0;
  return a_first != swapped ? -1 : 1;
}

std::vector<std::string_view> Chars(std::string_view text) {
  std::vector<std::string_view> chars;
  chars.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharBytes(text, at);
    chars.push_back(text.substr(at, bytes));
    at += bytes;
  }
  return chars;
}

std::string ToUpper(std::string_view text) {
  return MapCase(text, AsciiUpper,
                 [](icu::UnicodeString& unicode) { unicode.toUpper(icu::Locale::getRoot()); });
}

std::string ToLower(std::string_view text) {
  return MapCase(text, AsciiLower,
                 [](icu::UnicodeString& unicode) { unicode.toLower(icu::Locale::getRoot()); });
}

std::string ToTitle(std::string_view text) {
  std::string title(text);
  bool inside = false;
  for (char& c : title) {
    const bool word = IsWord(c);
    if (word && !inside) c = AsciiUpper(c);
    inside = word;
  }
  return title;
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return {};
  const size_t first = CharBytes(text, 0);
  // JavaScript upper-cases the first UTF-16 unit, and half a surrogate pair has no upper case.
  const bool astral = CodePointAt(text, 0) >= kFirstAstral;
  std::string result = astral ? std::string(text.substr(0, first)) : ToUpper(text.substr(0, first));
  return result.append(text.substr(first));
}

}  // namespace plimsoll::text::jinja
