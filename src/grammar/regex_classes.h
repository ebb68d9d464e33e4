// The characters that one place of a regular expression stands for.
#pragma once

#include "base/result.h"
#include "grammar/code_points.h"
#include "grammar/pattern_reader.h"

namespace plimsoll::grammar {

// Reads `.`, an escape, a class in brackets or a character that stands for itself. kUsage with the
// byte where that is broken, or not supported.
[[nodiscard]] Result<CodePoints> ReadCharacters(PatternReader& in);

}  // namespace plimsoll::grammar
