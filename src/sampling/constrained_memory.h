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
  uint64_t answer = 0;      // the place of one answer in its grammar (grammar::GrammarFilter)

  // Of so many answers at a time.
  [[nodiscard]] uint64_t total(uint32_t n_answers) const {
    return vocabulary + masks + walk + grammars + n_answers * answer;
  }
};

[[nodiscard]] ConstrainedMemory ConstrainedMemoryOf(const text::Tokenizer& tokenizer);
// Answers at a time for which there is always room where many are computed together.
[[nodiscard]] uint32_t AnswersWithRoom(uint64_t n_tokens, uint32_t n_parallel);

// Its parts that depend on the number of tokens alone: some thousand masks and some hundred
// grammars, but no more than these, which large vocabularies come to.
inline constexpr uint64_t kMostMaskBytes = uint64_t{32} << 20;
inline constexpr uint64_t kMostGrammarBytes = uint64_t{16} << 20;
[[nodiscard]] uint64_t KeptMaskBytes(uint64_t n_tokens);
[[nodiscard]] uint64_t KeptGrammarBytes(uint64_t n_tokens);

// What one answer's place may come to, as grammar::Matcher::UsedBytes(); and what that takes: with
// vectors that double, a second matcher that follows a token further than that, and the last mask.
inline constexpr uint64_t kMostPlaceBytes = 128 * 1024;
[[nodiscard]] uint64_t AnswerBytes(uint64_t n_tokens);

}  // namespace plimsoll::sampling
