// Holds a sequence of tokens to a grammar.
#pragma once

#include <memory>
#include <string_view>

#include "grammar/token_masks.h"
#include "sampling/token_filter.h"

namespace plimsoll::grammar {

// Tokens that end a generation are allowed exactly where the text is whole, other control tokens
// where the grammar has them (kControlByte).
class GrammarFilter final : public sampling::TokenFilter {
 public:
  // `said`: what the text begins with, before the first token. `at_start`: a text begins with the
  // first token, so that a SentencePiece vocabulary's leading space is left out of it
  // (Tokenizer::PieceInText).
  GrammarFilter(std::shared_ptr<const Automaton> automaton, std::shared_ptr<TokenMasks> masks,
                std::string_view said, bool at_start);

  [[nodiscard]] bool Allows(TokenId token) override;
  [[nodiscard]] Result<std::span<const uint64_t>> Mask() override;
  void Accept(TokenId token) override;
  [[nodiscard]] bool IsOver() const override { return matcher_.IsOver(state_); }

 private:
  [[nodiscard]] Matcher::StateId After(TokenId token);

  const std::shared_ptr<TokenMasks> masks_;
  Matcher matcher_;
  Matcher::StateId state_;
  bool at_start_;
  std::shared_ptr<const TokenMask> mask_;  // the last one
};

}  // namespace plimsoll::grammar
