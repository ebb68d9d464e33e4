// Reads a pattern or a grammar character by character, and says where it is broken.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "text/utf8.h"

namespace plimsoll::grammar {

// `text` must be UTF-8 of less than 4 GiB.
class PatternReader {
 public:
  // `what`: what the text is called in messages, such as "the pattern".
  explicit PatternReader(std::string_view text, std::string_view what = "the pattern")
      : text_(text), what_(what) {}

  [[nodiscard]] bool IsAtEnd() const { return at_ == text_.size(); }
  [[nodiscard]] uint32_t byte() const { return static_cast<uint32_t>(at_); }
  [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }

  // The next byte, which must be there.
  [[nodiscard]] char Peek() const { return text_[at_]; }
  // Goes past `byte` (below 0x80) if it is next.
  bool Accept(char byte) {
    if (IsAtEnd() || Peek() != byte) return false;
    ++at_;
    return true;
  }
  // The next character, which must be there.
  char32_t Take() {
    const text::DecodedChar decoded = text::DecodeChar(rest());
    at_ += decoded.length;
    return decoded.code_point;
  }
  // Decimal digits; nullopt where there is none or the number is no uint32_t below kUnbounded.
  std::optional<uint32_t> Number() {
    uint64_t number = 0;
    const size_t first = at_;
    while (!IsAtEnd() && Peek() >= '0' && Peek() <= '9') {
      number = number * 10 + static_cast<uint64_t>(Peek() - '0');
      if (number >= UINT32_MAX) return std::nullopt;
      ++at_;
    }
    return at_ == first ? std::nullopt : std::optional(static_cast<uint32_t>(number));
  }
  // Exactly `n_digits` hexadecimal digits; nothing is read where they are not there.
  std::optional<char32_t> Hex(size_t n_digits) {
    char32_t value = 0;
    for (size_t i = 0; i < n_digits; ++i) {
      if (at_ + i >= text_.size()) return std::nullopt;
      const char byte = text_[at_ + i];
      const bool is_digit = byte >= '0' && byte <= '9';
      const char lower = static_cast<char>(byte | 0x20);
      if (!is_digit && (lower < 'a' || lower > 'f')) return std::nullopt;
      value = value << 4 | static_cast<char32_t>(is_digit ? byte - '0' : lower - 'a' + 10);
    }
    at_ += n_digits;
    return value;
  }

  // kUsage: "at byte 12 of the pattern: ...".
  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> Bad(fmt::format_string<Args...> format,
                                          Args&&... args) const {
    return BadAt(byte(), format, std::forward<Args>(args)...);
  }
  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> BadAt(uint32_t byte, fmt::format_string<Args...> format,
                                            Args&&... args) const {
    return Fail(ErrorKind::kUsage, "at byte {} of {}: {}", byte, what_,
                fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  std::string_view text_;
  std::string_view what_;
  size_t at_ = 0;
};

}  // namespace plimsoll::grammar
