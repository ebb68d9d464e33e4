// The little of Unicode that templates need, on UTF-8. Offsets and sizes are bytes unless a name
// says otherwise. Bytes that are no UTF-8 count as one character each and pass unchanged.
//
// The reference interpreter runs on JavaScript strings, whose units are UTF-16: `length` and
// indices follow it, slices go by code point.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::text::jinja {

// Bytes of the character at `at`, at least 1.
[[nodiscard]] size_t CharBytes(std::string_view text, size_t at);

// Bytes of the white space character (as JavaScript's \s) that starts at or ends before `at`; 0 for
// anything else.
[[nodiscard]] size_t SpaceBytesAt(std::string_view text, size_t at);
[[nodiscard]] size_t SpaceBytesBefore(std::string_view text, size_t at);

[[nodiscard]] std::string_view TrimStart(std::string_view text);
[[nodiscard]] std::string_view TrimEnd(std::string_view text);
[[nodiscard]] inline std::string_view Trim(std::string_view text) {
  return TrimEnd(TrimStart(text));
}

void AppendUtf8(std::string& out, uint32_t code_point);
// The code point of the valid character at `at`, or the byte itself.
[[nodiscard]] uint32_t CodePointAt(std::string_view text, size_t at);

// In Python's sense: neither of the categories "other" nor a separator, but for the space.
[[nodiscard]] bool IsPrintable(uint32_t code_point);

[[nodiscard]] size_t Utf16Length(std::string_view text);
// The character that holds the given UTF-16 unit, which must exist. Half of a surrogate pair, which
// UTF-8 cannot hold, gives U+FFFD.
[[nodiscard]] std::string Utf16UnitAt(std::string_view text, size_t unit);
// Of the order of UTF-16 units.
[[nodiscard]] int CompareUtf16(std::string_view a, std::string_view b);

[[nodiscard]] std::vector<std::string_view> Chars(std::string_view text);

// Full case mappings, independent of a locale.
[[nodiscard]] std::string ToUpper(std::string_view text);
[[nodiscard]] std::string ToLower(std::string_view text);

// Upper-cases ASCII letters that start a run of [A-Za-z0-9_].
[[nodiscard]] std::string ToTitle(std::string_view text);
[[nodiscard]] std::string Capitalize(std::string_view text);

[[nodiscard]] constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool IsWord(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

}  // namespace plimsoll::text::jinja
