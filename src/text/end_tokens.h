// Which tokens end a generation.
#pragma once

#include <vector>

#include "text/vocabulary.h"

namespace plimsoll::text {

// A converter can lose the type of the tokens that chat templates end a turn with. Those with a
// spelling that cannot be meant otherwise ("<|im_end|>") become control tokens.
void RestoreControlTypes(VocabularySpec& spec);

// The ids that end a generation, ascending: eos, eot and extra_end_tokens of the specification, and
// the control tokens with a spelling known to end a turn. `spec.types` must have every token.
[[nodiscard]] std::vector<TokenId> FindEndTokens(const VocabularySpec& spec);

}  // namespace plimsoll::text
