// Grammars brought into a form that can be followed, saying the same.
#pragma once

#include <vector>

#include "base/result.h"
#include "grammar/grammar.h"

namespace plimsoll::grammar {

// Rules that begin with themselves become repetitions: A = A x | y is A = y x*.
void RemoveDirectLeftRecursion(Grammar& grammar);

// Alternatives that begin with the same symbols share them: A = x y | x z is A = x (y | z).
void FactorAlternatives(Grammar& grammar);

// By rule, whether it may say nothing.
[[nodiscard]] std::vector<bool> FindNullable(const Grammar& grammar);

inline constexpr uint32_t kCannotBeSaid = kUnbounded;
// What each rule needs at least: the frames of the shallowest stack on which it can be said;
// kCannotBeSaid for one that no finite text satisfies. Knuth, "A generalization of Dijkstra's
// algorithm", Information Processing Letters 6 (1977).
struct Heights {
  std::vector<uint32_t> rules;
  std::vector<std::vector<uint32_t>> alternatives;  // by rule
};
[[nodiscard]] Heights FindHeights(const Grammar& grammar, const std::vector<bool>& nullable);

// kUsage when a rule leads back to itself before any byte is said, and more is to be said behind
// it: such a grammar would have to be followed on endlessly many stacks.
[[nodiscard]] Result<> CheckLeftRecursion(const Grammar& grammar,
                                          const std::vector<bool>& nullable);

}  // namespace plimsoll::grammar
