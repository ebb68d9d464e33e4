// From what a tokenizer is made from to the metadata of a GGUF: what vocabulary_from_metadata.h
// reads, and llama.cpp.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "formats/metadata.h"
#include "text/vocabulary.h"

namespace plimsoll::engine {

// Sets the keys tokenizer.ggml.* of a model whose embedding has `n_rows`; rows that no token has
// become unused tokens. kBadModel for a vocabulary that GGUF has no words for: a pre-tokenizer
// without a name, merges that no score for each token can say, more tokens than rows.
[[nodiscard]] Result<> VocabularyToMetadata(const text::VocabularySpec& spec, uint64_t n_rows,
                                            formats::Metadata& metadata);

}  // namespace plimsoll::engine
