#include "sampling/constrained_memory.h"

#include <algorithm>

namespace plimsoll::sampling {
namespace {

constexpr uint64_t kKeptMasks = 1024;
constexpr uint64_t kMaskOverhead = 1024;  // key, exits and tables of a usual one
constexpr uint64_t kLeastGrammarBytes = uint64_t{1} << 20;
constexpr uint64_t kGrammarBytesAToken = 64;

// Two matchers, of which one walks: grammar::TokenMasks::kMaxWalkBytes and what one byte adds, as
// vectors that double.
constexpr uint64_t kWalkBytes = uint64_t{4} << 20;

// Of answers that run at a time: as the rest, more where the vocabulary is large.
constexpr uint32_t kLeastAnswers = 4;
constexpr uint32_t kMostAnswers = 32;
constexpr uint64_t kTokensAnAnswer = 4096;

// A byte of a token's text is itself and at most one node; and at most one exit of a walk, in a
// vector that doubles.
constexpr uint64_t kBytesAByte = 1 + 12;
constexpr uint64_t kExitBytesAByte = 2 * 4;
// In the lists of tokens and of their texts.
constexpr uint64_t kBytesAToken = 3 * 4;
// Of the vectors' ends.
constexpr uint64_t kRest = 4096;

}  // namespace

uint64_t KeptMaskBytes(uint64_t n_tokens) {
  return std::min(kKeptMasks * (n_tokens / 8 + kMaskOverhead), kMostMaskBytes);
}

uint64_t KeptGrammarBytes(uint64_t n_tokens) {
  return std::clamp(kGrammarBytesAToken * n_tokens, kLeastGrammarBytes, kMostGrammarBytes);
}

uint64_t AnswerBytes(uint64_t n_tokens) { return 2 * 2 * kMostPlaceBytes + n_tokens / 8 + kRest; }

uint32_t AnswersWithRoom(uint64_t n_tokens, uint32_t n_parallel) {
  const auto n =
      static_cast<uint32_t>(std::min<uint64_t>(n_tokens / kTokensAnAnswer, kMostAnswers));
  return std::max({n, kLeastAnswers, n_parallel});
}

ConstrainedMemory ConstrainedMemoryOf(const text::Tokenizer& tokenizer) {
  const uint64_t n_tokens = tokenizer.size();
  uint64_t text_bytes = 0;
  for (uint64_t i = 0; i < n_tokens; ++i) {
    const auto token = static_cast<TokenId>(i);
    text_bytes += tokenizer.Piece(token, true).size() + 1;  // the mark of a control token
  }
  const uint64_t mask_bytes = n_tokens / 8 + kRest;
  return {.vocabulary = text_bytes * kBytesAByte + n_tokens * kBytesAToken + kRest,
          .masks = KeptMaskBytes(n_tokens),
          .walk = kWalkBytes + 3 * mask_bytes + text_bytes * kExitBytesAByte,
          .grammars = KeptGrammarBytes(n_tokens),
          .answer = AnswerBytes(n_tokens)};
}

}  // namespace plimsoll::sampling
