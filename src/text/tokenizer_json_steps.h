// The parts of a tokenizer.json that work on the text before the model does.
#pragma once

#include <simdjson.h>

#include "base/result.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

// Reads `normalizer`, `pre_tokenizer` and `decoder` of the file's root. Sets the model of a BPE
// vocabulary (byte-level or over characters), its split steps, the normal form and the rules for
// spaces. kBadModel names what is not supported.
[[nodiscard]] Result<> ReadTextSteps(simdjson::dom::object root, VocabularySpec& spec);

}  // namespace plimsoll::text
