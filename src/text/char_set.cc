#include "text/char_set.h"

#include <algorithm>

namespace plimsoll::text {
namespace {

struct NamedSet {
  std::string_view name;
  CategorySet categories;
};

constexpr NamedSet kNamedSets[] = {
    {"\\p{L}", kLetters},
    {"\\p{M}", kMarks},
    {"\\p{N}", kNumbers},
    {"\\p{P}", kPunctuation},
    {"\\p{S}", kSymbols},
    {"\\p{Lu}", SetOf(Category::kLu)},
    {"\\p{Ll}", SetOf(Category::kLl)},
    {"\\p{Lt}", SetOf(Category::kLt)},
    {"\\p{Lm}", SetOf(Category::kLm)},
    {"\\p{Lo}", SetOf(Category::kLo)},
    {"\\p{Nd}", SetOf(Category::kNd)},
    {"\\d", SetOf(Category::kNd)},
    {"\\s", kSpaces},
};

std::optional<CategorySet> TakeNamedSet(std::string_view& pattern) {
  for (const NamedSet& set : kNamedSets) {
    if (pattern.starts_with(set.name)) {
      pattern.remove_prefix(set.name.size());
      return set.categories;
    }
  }
  return std::nullopt;
}

bool IsAsciiAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// One character, written as itself or escaped.
std::optional<uint32_t> TakeCharacter(std::string_view& pattern) {
  if (pattern.empty()) {
    return std::nullopt;
  }
  if (pattern[0] != '\\') {
    const DecodedChar c = DecodeChar(pattern);
    if (!c.valid) {
      return std::nullopt;
    }
    pattern.remove_prefix(c.length);
    return c.code_point;
  }
  if (pattern.size() < 2 || static_cast<unsigned char>(pattern[1]) >= 0x80) {
    return std::nullopt;
  }
  const char escaped = pattern[1];
  pattern.remove_prefix(2);
  switch (escaped) {
    case 'r':
      return '\r';
    case 'n':
      return '\n';
    case 't':
      return '\t';
    default:
      if (IsAsciiAlphanumeric(escaped)) {
        return std::nullopt;
      }
      return static_cast<uint32_t>(escaped);
  }
}

}  // namespace

std::optional<CharSet> CharSet::Parse(std::string_view& pattern) {
  constexpr std::string_view kMeta = ".^$|()*+?{}]";
  CharSet set;
  if (pattern.empty() || kMeta.find(pattern[0]) != std::string_view::npos) {
    return std::nullopt;
  }
  if (pattern[0] == '[') {
    pattern.remove_prefix(1);
    if (!set.ParseBrackets(pattern)) {
      return std::nullopt;
    }
  } else if (const auto named = TakeNamedSet(pattern)) {
    set.categories_ = *named;
  } else if (const auto c = TakeCharacter(pattern)) {
    set.ranges_.push_back({*c, *c});
  } else {
    return std::nullopt;
  }
  set.Finish();
  return set;
}

bool CharSet::ParseBrackets(std::string_view& pattern) {
  if (pattern.starts_with('^')) {
    negated_ = true;
    pattern.remove_prefix(1);
  }
  bool empty = true;
  while (!pattern.starts_with(']') || empty) {
    // A bracket or && inside means a nested set in some engines and itself in others.
    if (pattern.empty() || pattern[0] == '[' || pattern[0] == ']' || pattern.starts_with("&&")) {
      return false;
    }
    empty = false;
    if (const auto named = TakeNamedSet(pattern)) {
      categories_ |= *named;
      continue;
    }
    const auto first = TakeCharacter(pattern);
    if (!first) {
      return false;
    }
    auto last = first;
    if (pattern.size() >= 2 && pattern[0] == '-' && pattern[1] != ']') {
      pattern.remove_prefix(1);
      if (pattern[0] == '[') {
        return false;
      }
      last = TakeCharacter(pattern);
      if (!last || *last < *first) {
        return false;
      }
    }
    ranges_.push_back({*first, *last});
  }
  pattern.remove_prefix(1);
  return true;
}

void CharSet::Finish() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> merged;
  for (const Range& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().last) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
  ranges_.shrink_to_fit();
  for (uint32_t c = 0; c < ascii_.size(); ++c) {
    ascii_[c] = Evaluate(c, CategoryTable::Get().Of(c));
  }
}

bool CharSet::Evaluate(uint32_t code_point, Category category) const {
  if (text::Contains(categories_, category)) {
    return !negated_;
  }
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                                      [](uint32_t c, const Range& r) { return c < r.first; });
  const bool in_range = after != ranges_.begin() && code_point <= std::prev(after)->last;
  return in_range != negated_;
}

}  // namespace plimsoll::text
