// A grammar for a finite set of texts.
#pragma once

#include <string>
#include <vector>

#include "grammar/budget.h"
#include "grammar/grammar_builder.h"

namespace plimsoll::grammar {

// One of `texts` (bytes; not empty), each of them in one way: common beginnings and endings are
// shared (J. Daciuk et al., "Incremental Construction of Minimal Acyclic Finite-State Automata",
// 2000), so that many texts that are alike take little. Stops early where the builder is full, or
// where the automaton has more than `max_nodes` or the time is spent, and then returns false.
[[nodiscard]] bool AddTexts(GrammarBuilder& builder, RuleId rule, std::vector<std::string> texts,
                            size_t max_nodes, Budget& budget);

}  // namespace plimsoll::grammar
