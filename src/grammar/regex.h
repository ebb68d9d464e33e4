// Regular expressions as grammars.
#pragma once

#include <string_view>

#include "base/result.h"
#include "grammar/grammar.h"
#include "grammar/grammar_builder.h"
#include "grammar/regex_tree.h"
#include "grammar/speller.h"

namespace plimsoll::grammar {

// The texts that `pattern` says as a whole (an outer ^ and $ are allowed and change nothing). The
// dialect is ECMA-262's with the `u` flag, without lookaround, references to groups and the edges
// of words, which are refused. kUsage with the byte of the pattern that is broken or not supported,
// kDoesNotFit where a limit is passed.
[[nodiscard]] Result<Grammar> CompileRegex(std::string_view pattern,
                                           const GrammarLimits& limits = {});

// The same as part of a larger grammar, which has to be brought into order by Normalize() at the
// end.
[[nodiscard]] Result<Symbol> AddRegex(GrammarBuilder& builder, std::string_view pattern,
                                      const GrammarLimits& limits = {});

// What a pattern says, spelled by `speller`.
[[nodiscard]] Symbol EmitRegex(GrammarBuilder& builder, Speller& speller, const RegexTree& tree);

}  // namespace plimsoll::grammar
