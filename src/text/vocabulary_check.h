// What every tokenizer relies on in its specification.
#pragma once

#include "base/result.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

// kBadModel names the field at fault: a list of another length than the tokens, a score that is no
// number, an unknown type, an id that is no token, a vocabulary beyond the limits (2^24 tokens,
// 4,096 bytes a token, 2 GiB together).
[[nodiscard]] Result<> CheckVocabulary(const VocabularySpec& spec);

}  // namespace plimsoll::text
