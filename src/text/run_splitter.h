// A splitter for patterns that are one run of characters of one set: [\r\n], \s?\p{L}+, \p{N}{1,3},
// [0-9][0-9][0-9], \s+$.
#pragma once

#include <memory>
#include <string_view>

#include "text/splitter.h"

namespace plimsoll::text {

// Null when `pattern` has another shape.
[[nodiscard]] std::unique_ptr<const Splitter> RunPatternSplitter(std::string_view pattern,
                                                                 SplitParts parts);

}  // namespace plimsoll::text
