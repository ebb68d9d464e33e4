// Holds a sequence of tokens to a grammar.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "grammar/token_masks.h"
#include "sampling/constrained_memory.h"
#include "sampling/token_filter.h"

namespace plimsoll::grammar {

// Tokens that end a generation are allowed exactly where the text is whole, other control tokens
// where the grammar has them (kControlByte).
//
// It takes next to nothing until it is used. Then it remembers the way it came, so that what is
// said again costs nothing, up to sampling::kMostPlaceBytes: beyond that all but its place is
// forgotten. A place that is larger by itself is one that a grammar too ambiguous leads to.
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
  [[nodiscard]] bool IsOver() const override { return matcher_ && matcher_->IsOver(state_); }
  [[nodiscard]] uint64_t max_bytes() const override {
    return sampling::AnswerBytes(masks_->vocabulary().n_tokens());
  }
  // What it takes now.
  [[nodiscard]] uint64_t bytes() const {
    return (matcher_ ? matcher_->Bytes() : 0) + (mask_ ? mask_->size() * sizeof(uint64_t) : 0);
  }

 private:
  // Where bytes lead to: a state of matcher_, or of a matcher that goes on where that one was full.
  struct Place {
    std::optional<Matcher> beyond;
    Matcher::StateId state = Matcher::kDead;
  };

  void Begin();
  [[nodiscard]] Place Follow(std::string_view bytes);
  [[nodiscard]] Place After(TokenId token);
  void GoTo(Place place);

  const std::shared_ptr<const Automaton> automaton_;
  const std::shared_ptr<TokenMasks> masks_;
  std::string said_;
  std::optional<Matcher> matcher_;  // none before it is used
  Matcher::StateId state_ = Matcher::kDead;
  bool at_start_;
  bool is_too_large_ = false;              // a place that was asked for
  std::shared_ptr<const TokenMask> mask_;  // the last one
};

}  // namespace plimsoll::grammar
