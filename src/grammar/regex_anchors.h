// `^` and `$` of a regular expression, written out as what may stand before and behind.
#pragma once

#include "grammar/regex_tree.h"

namespace plimsoll::grammar {

// kUsage where `^` does not stand at the front of an alternative of the whole pattern, or `$` not
// at its end: there it would ask something of what other parts say.
[[nodiscard]] Result<RegexTree> WriteOutAnchors(RegexTree tree, RegexScope scope);

}  // namespace plimsoll::grammar
