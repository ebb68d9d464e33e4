#include "grammar/code_points.h"

#include <algorithm>
#include <utility>

namespace plimsoll::grammar {

CodePoints::CodePoints(std::vector<CodePointRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  for (const CodePointRange& range : ranges) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

bool CodePoints::Contains(char32_t code) const {
  const auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), code,
      [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges_.begin() && code <= std::prev(after)->last;
}

CodePoints CodePoints::Complement() const {
  CodePoints rest;
  char32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) {
      rest.ranges_.push_back({next, range.first - 1});
    }
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) {
    rest.ranges_.push_back({next, kLastCodePoint});
  }
  return rest;
}

}  // namespace plimsoll::grammar
