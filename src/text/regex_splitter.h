// A splitter for any other pattern that a tokenizer.json may bring, run by PCRE2.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "text/splitter.h"

namespace plimsoll::text {

// Characters are those of UTF-8 with Unicode's classes, \s being White_Space as in the engines that
// tokenizer.json is written for, and ^ and $ the ends of lines. Ill-formed bytes match nothing. A
// pattern that backtracks beyond PCRE2's limits on some text leaves the rest of that text as one
// part, so that time stays bounded and no byte is lost. kBadModel with the position when the
// pattern does not compile.
[[nodiscard]] Result<std::unique_ptr<const Splitter>> RegexSplitter(std::string_view pattern,
                                                                    SplitParts parts);

}  // namespace plimsoll::text
