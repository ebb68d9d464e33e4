// For tests: whether a grammar says a text, by looking at every way. Quick enough for texts of some
// kilobytes; rules must not begin with themselves.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/grammar.h"

namespace plimsoll::grammar {

class Recognizer {
 public:
  Recognizer(const Grammar& grammar, std::string_view text) : grammar_(grammar), text_(text) {}

  [[nodiscard]] bool SaysAll() { return EndsOf(grammar_.root, 0).contains(text_.size()); }

 private:
  using Places = std::set<size_t>;

  const Places& EndsOf(RuleId rule, size_t at) {
    const auto key = std::pair(rule, at);
    const auto known = ends_.find(key);
    if (known != ends_.end()) return known->second;
    Places ends;
    for (const Sequence& sequence : grammar_.rules[rule].alternatives) {
      Places here = {at};
      for (const Symbol& symbol : sequence) here = Behind(symbol, here);
      ends.insert(here.begin(), here.end());
    }
    return ends_.emplace(key, std::move(ends)).first->second;
  }

  Places Once(const Symbol& symbol, size_t at) {
    if (symbol.kind == Symbol::Kind::kRule) return EndsOf(symbol.index, at);
    const bool fits =
        at < text_.size() && grammar_.byte_sets[symbol.index].test(static_cast<uint8_t>(text_[at]));
    return fits ? Places{at + 1} : Places{};
  }

  // Where the symbol, said as often as it wants, can end.
  Places Behind(const Symbol& symbol, const Places& starts) {
    Places ends;
    Places here = starts;
    // What says nothing can be said any number of times.
    uint32_t min = symbol.min;
    for (uint32_t count = 0; count < symbol.max && !here.empty(); ++count) {
      if (count >= min) ends.insert(here.begin(), here.end());
      Places next;
      for (const size_t at : here) {
        const Places once = Once(symbol, at);
        if (once.contains(at)) ends.insert(at);
        next.insert(once.begin(), once.end());
      }
      if (count >= min && std::includes(ends.begin(), ends.end(), next.begin(), next.end())) {
        return ends;
      }
      if (next == here) {
        ends.insert(here.begin(), here.end());
        return ends;
      }
      here = std::move(next);
      if (count + 1 == symbol.max) ends.insert(here.begin(), here.end());
    }
    return ends;
  }

  const Grammar& grammar_;
  std::string_view text_;
  std::map<std::pair<RuleId, size_t>, Places> ends_;
};

[[nodiscard]] inline bool Says(const Grammar& grammar, std::string_view text) {
  return Recognizer(grammar, text).SaysAll();
}

}  // namespace plimsoll::grammar
