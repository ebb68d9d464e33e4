// What answers that are held to a form keep for a model, beside the requests themselves. It stands
// here, not with the grammars, so that the engine can ask the ledger for it before anything is
// made.
#pragma once

#include <cstdint>

#include "text/tokenizer.h"

namespace plimsoll::sampling {

// Upper bounds in bytes, for one tokenizer.
struct ConstrainedMemory {
  uint64_t vocabulary = 0;  // its tokens by their bytes (grammar::VocabularyTrie)
  uint64_t masks = 0;       // that are kept, of grammar::TokenMasks
  uint64_t walk = 0;        // what computing a mask takes meanwhile
  uint64_t grammars = 0;    // compiled ones that are kept

  [[nodiscard]] uint64_t total() const { return vocabulary + masks + walk + grammars; }
};

[[nodiscard]] ConstrainedMemory ConstrainedMemoryOf(const text::Tokenizer& tokenizer);

// Its parts that depend on the number of tokens alone: some thousand masks and some hundred
// grammars, but no more than these, which large vocabularies come to.
inline constexpr uint64_t kMostMaskBytes = uint64_t{32} << 20;
inline constexpr uint64_t kMostGrammarBytes = uint64_t{16} << 20;
[[nodiscard]] uint64_t KeptMaskBytes(uint64_t n_tokens);
[[nodiscard]] uint64_t KeptGrammarBytes(uint64_t n_tokens);

}  // namespace plimsoll::sampling
