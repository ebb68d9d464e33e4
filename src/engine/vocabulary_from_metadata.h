// From the metadata of a model's files to what its tokenizer is made from.
#pragma once

#include "base/result.h"
#include "formats/metadata.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace plimsoll::engine {

struct EngineOptions;

// Reads the keys tokenizer.ggml.*; where `plimsoll.tokenizer_json` names a file (a model in
// safetensors), that file and the tokenizer_config.json beside it. kBadModel names the key at
// fault, and the supported values where a model or pre-tokenizer is not among them.
[[nodiscard]] Result<text::VocabularySpec> VocabularyFromMetadata(
    const formats::Metadata& metadata);

// What the ledger is asked for beside the matrices of the vocabulary: the tokenizer and, where
// answers may be held to a form, what that keeps, with the places of ConstrainedAnswers().
[[nodiscard]] uint64_t TokenizerMemory(const text::Tokenizer& tokenizer,
                                       const EngineOptions& options);
// Answers at a time that can be held to a form for certain.
[[nodiscard]] uint32_t ConstrainedAnswers(const text::Tokenizer& tokenizer,
                                          const EngineOptions& options);

}  // namespace plimsoll::engine
