// Puts a grammar together.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "grammar/grammar.h"

namespace plimsoll::grammar {

// Every function that returns a Symbol has made the rules that it needs; a symbol may be used any
// number of times. Beyond `max_symbols` nothing more is added and is_full() says so: a compiler
// looks at it now and then, and gives up.
class GrammarBuilder {
 public:
  explicit GrammarBuilder(const GrammarLimits& limits) : limits_(limits) {}

  // A rule that is filled later, so that rules may refer to each other and to themselves.
  [[nodiscard]] RuleId Declare();
  void Add(RuleId rule, Sequence alternative);

  [[nodiscard]] Symbol Bytes(const ByteSet& set);
  [[nodiscard]] Symbol Byte(char byte);
  // The code points of a range, in UTF-8; surrogates are left out. `first` <= `last` <= 0x10FFFF.
  [[nodiscard]] Symbol Characters(char32_t first, char32_t last);
  [[nodiscard]] static Symbol Reference(RuleId rule) {
    return {.kind = Symbol::Kind::kRule, .index = rule};
  }
  // One after another; one of them. Neither makes a rule for a single part.
  [[nodiscard]] Symbol Concatenation(Sequence parts);
  [[nodiscard]] Symbol Alternatives(std::vector<Sequence> alternatives);
  // Of a symbol that occurs once: `min` to `max` times.
  [[nodiscard]] Symbol Repeat(Symbol symbol, uint32_t min, uint32_t max);

  void AppendText(Sequence& sequence, std::string_view text);

  [[nodiscard]] bool is_full() const { return n_symbols_ > limits_.max_symbols; }
  [[nodiscard]] Grammar Finish(RuleId root);

 private:
  [[nodiscard]] Symbol Utf8Range(std::string_view first, std::string_view last);

  GrammarLimits limits_;
  Grammar grammar_;
  std::unordered_map<ByteSet, uint32_t> set_index_;
  uint64_t n_symbols_ = 0;
};

}  // namespace plimsoll::grammar
