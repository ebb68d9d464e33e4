// A set of characters as ranges of code points.
#pragma once

#include <vector>

namespace plimsoll::grammar {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

struct CodePointRange {
  char32_t first;
  char32_t last;

  friend auto operator<=>(const CodePointRange&, const CodePointRange&) = default;
};

class CodePoints {
 public:
  CodePoints() = default;
  explicit CodePoints(std::vector<CodePointRange> ranges);  // in any order; they may overlap

  [[nodiscard]] static CodePoints All() { return CodePoints({{0, kLastCodePoint}}); }

  // Ascending; neither overlapping nor touching.
  [[nodiscard]] const std::vector<CodePointRange>& ranges() const { return ranges_; }
  [[nodiscard]] bool is_empty() const { return ranges_.empty(); }
  [[nodiscard]] bool Contains(char32_t code) const;
  [[nodiscard]] CodePoints Complement() const;

  friend auto operator<=>(const CodePoints&, const CodePoints&) = default;

 private:
  std::vector<CodePointRange> ranges_;
};

}  // namespace plimsoll::grammar
