// A regular expression, read.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/code_points.h"
#include "grammar/grammar.h"

namespace plimsoll::grammar {

struct RegexNode {
  enum class Kind : uint8_t { kSet, kConcatenation, kAlternation, kRepetition, kStart, kEnd };
  Kind kind = Kind::kConcatenation;
  uint32_t byte = 0;  // of the pattern, for messages
  uint32_t set = 0;   // into RegexTree::sets
  uint32_t min = 1;   // of a repetition of its only child
  uint32_t max = 1;
  std::vector<uint32_t> children{};
};

struct RegexTree {
  std::vector<RegexNode> nodes;
  std::vector<CodePoints> sets;
  uint32_t root = 0;
};

// How a pattern without `^` and `$` is meant.
enum class RegexScope : uint8_t {
  kWhole,   // the text is what the pattern says
  kSearch,  // what the pattern says is somewhere in the text
};

// ECMA-262 as JSON schemas use it; docs/constrained-output.md tells what is read and what is
// refused. In the result there is neither `^` nor `$`: what a text may have before and behind is
// written out. kUsage with the byte of the pattern where it is broken or not supported, kDoesNotFit
// where a limit is passed.
[[nodiscard]] Result<RegexTree> ParseRegex(std::string_view pattern, RegexScope scope,
                                           const GrammarLimits& limits);

// How many characters a text that fits can have.
struct LengthRange {
  uint32_t min = 0;
  uint32_t max = 0;  // kUnbounded also where it is more than can be counted
};
[[nodiscard]] LengthRange LengthsOf(const RegexTree& tree);

}  // namespace plimsoll::grammar
