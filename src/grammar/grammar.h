// A context-free grammar over bytes: what JSON schemas, regular expressions and GBNF are compiled
// to, and what constrained output is held to.
#pragma once

#include <bitset>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace plimsoll::grammar {

using ByteSet = std::bitset<256>;
using RuleId = uint32_t;

inline constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();

// A byte of a set, or what a rule says, `min` to `max` times in a row. The count is a number that
// is compared, not a chain of states: "at most 100,000 characters" costs no more than "at most 1".
struct Symbol {
  enum class Kind : uint8_t { kBytes, kRule };
  Kind kind = Kind::kBytes;
  uint32_t index = 0;  // into Grammar::byte_sets or Grammar::rules
  uint32_t min = 1;
  uint32_t max = 1;  // at least `min` and 1, or kUnbounded

  friend bool operator==(const Symbol&, const Symbol&) = default;
};

using Sequence = std::vector<Symbol>;  // empty: says nothing

struct Rule {
  std::vector<Sequence> alternatives;  // none: nothing can be said (and nothing behind it)
};

struct Grammar {
  std::vector<Rule> rules;
  std::vector<ByteSet> byte_sets;  // no two alike
  RuleId root = 0;
};

// What a compiler may spend before it gives up with an error: a grammar comes from a client.
struct GrammarLimits {
  uint32_t max_symbols = 100'000;  // over all rules
  uint32_t max_depth = 256;        // of nesting in the source
  double max_cpu_seconds = 0.1;
};

}  // namespace plimsoll::grammar
