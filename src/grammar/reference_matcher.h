// For tests: what a text is to a grammar, straight from the definition, and slowly.
#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "grammar/grammar.h"

namespace plimsoll::grammar {

// Iterates to a fixpoint over all spans of the text, so that no form of recursion matters to it.
class ReferenceMatcher {
 public:
  explicit ReferenceMatcher(const Grammar& grammar) : grammar_(grammar) {
    sayable_.assign(grammar.rules.size(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t rule = 0; rule < grammar.rules.size(); ++rule) {
        for (const Sequence& sequence : grammar.rules[rule].alternatives) {
          if (!sayable_[rule] && IsSayable(sequence, 0)) {
            sayable_[rule] = changed = true;
          }
        }
      }
    }
  }

  [[nodiscard]] bool says_anything() const { return sayable_[grammar_.root]; }

  // `is_beginning`: more could follow, or it is whole.
  struct Answer {
    bool is_whole = false;
    bool is_beginning = false;
  };
  [[nodiscard]] Answer Look(std::string_view text) {
    text_ = text;
    ends_.assign(grammar_.rules.size(), std::vector<std::set<size_t>>(text.size() + 1));
    begins_.assign(grammar_.rules.size(), std::vector<bool>(text.size() + 1, false));
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t rule = 0; rule < grammar_.rules.size(); ++rule) {
        for (size_t at = 0; at <= text.size(); ++at) {
          changed |= Extend(rule, at);
        }
      }
    }
    const bool whole = ends_[grammar_.root][0].contains(text.size());
    return {whole, whole || begins_[grammar_.root][0]};
  }

 private:
  [[nodiscard]] bool IsSayable(const Symbol& symbol) const {
    return symbol.kind == Symbol::Kind::kRule ? sayable_[symbol.index]
                                              : grammar_.byte_sets[symbol.index].any();
  }
  [[nodiscard]] bool IsSayable(const Sequence& sequence, size_t from) const {
    return std::all_of(sequence.begin() + static_cast<ptrdiff_t>(from), sequence.end(),
                       [&](const Symbol& s) { return s.min == 0 || IsSayable(s); });
  }

  bool Extend(size_t rule, size_t at) {
    bool changed = false;
    for (const Sequence& sequence : grammar_.rules[rule].alternatives) {
      // (symbol, times said, place in the text)
      std::set<std::vector<size_t>> seen;
      std::vector<std::vector<size_t>> open = {{0, 0, at}};
      while (!open.empty()) {
        const std::vector<size_t> now = open.back();
        open.pop_back();
        if (!seen.insert(now).second) {
          continue;
        }
        const auto [i, count, place] = std::tuple(now[0], now[1], now[2]);
        if (i == sequence.size()) {
          changed |= ends_[rule][at].insert(place).second;
          continue;
        }
        const Symbol& symbol = sequence[i];
        const bool can_go_on = IsSayable(sequence, i + 1);
        if (count >= symbol.min) {
          open.push_back({i + 1, 0, place});
        }
        if (count >= symbol.max || !IsSayable(symbol)) {
          continue;
        }
        const bool begins = place == text_.size() ||
                            (symbol.kind == Symbol::Kind::kRule && begins_[symbol.index][place]);
        if (begins && can_go_on && !begins_[rule][at]) {
          begins_[rule][at] = changed = true;
        }
        const size_t next = std::min<size_t>(count + 1, symbol.min + 8);  // of endless ones
        const size_t counted = symbol.max == kUnbounded ? next : count + 1;
        if (symbol.kind == Symbol::Kind::kRule) {
          for (const size_t end : ends_[symbol.index][place]) {
            open.push_back({i, counted, end});
          }
        } else if (place < text_.size() &&
                   grammar_.byte_sets[symbol.index].test(static_cast<uint8_t>(text_[place]))) {
          open.push_back({i, counted, place + 1});
        }
      }
    }
    return changed;
  }

  const Grammar& grammar_;
  std::vector<bool> sayable_;
  std::string_view text_;
  std::vector<std::vector<std::set<size_t>>> ends_;  // by rule and place
  std::vector<std::vector<bool>> begins_;            // the rest of the text begins the rule
};

}  // namespace plimsoll::grammar
