// Text with the category of the character at each position: what the splitters read.
#pragma once

#include <string_view>

#include "text/unicode.h"
#include "text/utf8.h"

namespace plimsoll::text {

struct ScannedChar {
  uint32_t code_point = 0;
  uint32_t length = 0;  // in bytes; 0 at the end of the text
  Category category = Category::kUnassigned;

  [[nodiscard]] bool In(CategorySet set) const { return length != 0 && Contains(set, category); }
  // In none of the categories, and a character: the end of the text is in no class, negated or not.
  [[nodiscard]] bool NotIn(CategorySet set) const {
    return length != 0 && !Contains(set, category);
  }
  [[nodiscard]] bool IsNewline() const {
    return length != 0 && (code_point == '\r' || code_point == '\n');
  }
};

// An ill-formed byte reads as U+FFFD, one byte long.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), table_(CategoryTable::Get()) {}

  [[nodiscard]] std::string_view text() const { return text_; }

  [[nodiscard]] ScannedChar At(size_t pos) const {
    if (pos >= text_.size()) {
      return {};
    }
    const DecodedChar c = DecodeChar(text_.substr(pos));
    return {c.code_point, c.length, table_.Of(c.code_point)};
  }

  // The end of the run of characters in `set` that starts at `pos`.
  [[nodiscard]] size_t RunEnd(size_t pos, CategorySet set) const {
    for (ScannedChar c = At(pos); c.In(set); c = At(pos)) {
      pos += c.length;
    }
    return pos;
  }

  // The end of the run of newlines, or of newlines and `also`, that starts at `pos`.
  [[nodiscard]] size_t NewlineRunEnd(size_t pos, char also = '\n') const {
    while (pos < text_.size() && (text_[pos] == '\r' || text_[pos] == '\n' || text_[pos] == also)) {
      ++pos;
    }
    return pos;
  }

 private:
  std::string_view text_;
  const CategoryTable& table_;
};

}  // namespace plimsoll::text
