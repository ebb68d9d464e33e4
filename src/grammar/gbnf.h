// llama.cpp's grammar notation.
#pragma once

#include <string_view>

#include "base/result.h"
#include "grammar/grammar.h"

namespace plimsoll::grammar {

// GBNF as its guide describes it
// (https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md): rules of literals,
// character classes, `.`, groups, alternatives and repetitions; the text is what `root` says.
// Tokens (<think>, <[1000]>) are refused, as are rules that begin with themselves. kUsage with the
// byte that is broken, kDoesNotFit where a limit is passed.
[[nodiscard]] Result<Grammar> CompileGbnf(std::string_view text, const GrammarLimits& limits = {});

}  // namespace plimsoll::grammar
