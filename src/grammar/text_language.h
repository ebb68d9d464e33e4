// Texts that fit some regular expressions and do not fit others, with a bound on their length.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/budget.h"
#include "grammar/code_points.h"
#include "grammar/grammar_builder.h"
#include "grammar/regex_tree.h"
#include "grammar/speller.h"

namespace plimsoll::grammar {

// A regular expression as a nondeterministic automaton over characters (K. Thompson, "Regular
// expression search algorithm", 1968); counts are written out.
class RegexAutomaton {
 public:
  static constexpr size_t kMaxStates = 20'000;

  // kDoesNotFit where there would be more states than kMaxStates.
  [[nodiscard]] static Result<RegexAutomaton> Make(const RegexTree& tree);

  using Places = std::vector<uint32_t>;  // ascending
  [[nodiscard]] Places Start() const;
  template <class IsIn>  // whether the character is in a set, by its number
  [[nodiscard]] Places Step(const Places& places, const IsIn& is_in) const;
  [[nodiscard]] static bool IsWhole(const Places& places) {
    return !places.empty() && places.front() == kEnd;
  }
  [[nodiscard]] const std::vector<CodePoints>& sets() const { return sets_; }
  [[nodiscard]] size_t n_states() const { return states_.size(); }

 private:
  static constexpr uint32_t kEnd = 0;
  static constexpr uint32_t kNoSet = UINT32_MAX;
  struct State {
    uint32_t set = kNoSet;       // says one character of it and goes on at next[0]
    std::vector<uint32_t> next;  // otherwise: any of these, saying nothing
  };
  class Maker;

  [[nodiscard]] Places Closed(Places places) const;

  std::vector<CodePoints> sets_;
  std::vector<State> states_ = std::vector<State>(1);
  uint32_t start_ = kEnd;
};

class TextLanguage {
 public:
  // How many places of its patterns the states of the result may stand for, together.
  static constexpr size_t kMaxPlaces = 500'000;

  uint32_t min_length = 0;
  uint32_t max_length = kUnbounded;

  // kDoesNotFit where the patterns together have too many states.
  [[nodiscard]] Result<> Require(const RegexTree& tree) { return Add(tree, true); }
  [[nodiscard]] Result<> Exclude(const RegexTree& tree) { return Add(tree, false); }

  // `text` must be UTF-8.
  [[nodiscard]] bool Contains(std::string_view text) const;
  // All of it as a part of a grammar, each text in one way. kDoesNotFit where that takes more
  // symbols or time than is left.
  [[nodiscard]] Result<Symbol> AddTo(GrammarBuilder& builder, Speller& speller,
                                     Budget& budget) const;

 private:
  struct Part {
    RegexAutomaton automaton;
    bool is_wanted;
  };
  class Determinizer;

  [[nodiscard]] Result<> Add(const RegexTree& tree, bool is_wanted);

  std::vector<Part> parts_;
  size_t n_states_ = 0;
};

// The regular expression of exactly these texts, or of some where all are too long together to be a
// part of a TextLanguage, which then says so.
[[nodiscard]] RegexTree TreeOfTexts(const std::vector<std::string_view>& texts);

}  // namespace plimsoll::grammar
