// UTF-8 as it comes: well-formed characters are decoded, and bytes that are not part of one are
// passed through one at a time, so that no input is refused and none is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace plimsoll::text {

inline constexpr uint32_t kReplacementCharacter = 0xFFFD;

struct DecodedChar {
  uint32_t code_point = 0;  // kReplacementCharacter for an ill-formed byte
  uint32_t length = 1;      // in bytes; 1 for an ill-formed byte
  bool valid = false;
};

// The character at the start of `text`, which must not be empty. Overlong forms, surrogates and
// values above U+10FFFF are ill-formed (Unicode 15, table 3-7).
[[nodiscard]] DecodedChar DecodeMultibyte(std::string_view text);

[[nodiscard]] inline DecodedChar DecodeChar(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) {
    return {first, 1, true};
  }
  return DecodeMultibyte(text);
}

// `code_point` must be at most U+10FFFF.
void AppendUtf8(uint32_t code_point, std::string& out);

[[nodiscard]] bool IsValidUtf8(std::string_view text);

// How many bytes at the end of `text` begin a character that further bytes can still complete: 0
// to 3.
[[nodiscard]] size_t IncompleteSuffix(std::string_view text);

}  // namespace plimsoll::text
