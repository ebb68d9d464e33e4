// A set of characters as a regular expression writes it: [...], \p{...}, \s, \d or one character.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/scanner.h"

namespace plimsoll::text {

class CharSet {
 public:
  // Reads one set from the front of `pattern` and removes it from there. Nullopt for anything that
  // is not simply a set: the caller then has a regular expression engine do it.
  [[nodiscard]] static std::optional<CharSet> Parse(std::string_view& pattern);

  [[nodiscard]] bool Contains(const ScannedChar& c) const {
    if (c.length == 0) {
      return false;
    }
    return c.code_point < 0x80 ? ascii_[c.code_point] : Evaluate(c.code_point, c.category);
  }

  [[nodiscard]] uint64_t Bytes() const { return ranges_.capacity() * sizeof(ranges_[0]); }

  friend bool operator==(const CharSet&, const CharSet&) = default;

 private:
  struct Range {
    uint32_t first = 0;
    uint32_t last = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };

  bool ParseBrackets(std::string_view& pattern);
  void Finish();
  [[nodiscard]] bool Evaluate(uint32_t code_point, Category category) const;

  bool negated_ = false;
  CategorySet categories_ = 0;
  std::vector<Range> ranges_;  // ascending and disjoint
  std::array<bool, 0x80> ascii_{};
};

}  // namespace plimsoll::text
