// Text to tokens and back.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

struct EncodeOptions {
  bool add_bos_eos = false;    // what the vocabulary's rules say about BOS and EOS
  bool parse_special = false;  // control tokens written in the text become those tokens; without
                               // it they stay text (user input)
  std::string_view mark;       // left out of the text: what BreakSpecial put there
};

// Immutable and thread-safe.
class Tokenizer {
 public:
  // kBadModel names the field at fault.
  [[nodiscard]] static Result<std::unique_ptr<const Tokenizer>> Create(VocabularySpec spec);
  virtual ~Tokenizer() = default;

  [[nodiscard]] virtual std::vector<TokenId> Encode(std::string_view text,
                                                    EncodeOptions options) const = 0;

  // `text` such that Encode with this mark finds no control token in it, though it does in what
  // stands around it: a user's words within a prompt. `mark` is no part of the text.
  [[nodiscard]] virtual std::string BreakSpecial(std::string_view text,
                                                 std::string_view mark) const = 0;

  // The bytes that a token stands for; control tokens give none unless `render_control`, and ids
  // that are no tokens give none.
  [[nodiscard]] virtual std::string_view Piece(TokenId token, bool render_control) const = 0;

  // The same within a text that is decoded token by token: at its start a SentencePiece model's
  // leading space, which encoding set there, is left out. `at_start` turns false at the first piece
  // that is not empty.
  [[nodiscard]] std::string_view PieceInText(TokenId token, bool render_control,
                                             bool& at_start) const;

  // All bytes of the tokens, with the vocabulary's rule for a leading space.
  [[nodiscard]] virtual std::string Decode(std::span<const TokenId> tokens,
                                           bool render_control) const = 0;

  // What it was made from, except `merges`, which it gives back; `types` has one for every token.
  [[nodiscard]] virtual const VocabularySpec& spec() const = 0;
  [[nodiscard]] size_t size() const { return spec().tokens.size(); }
  [[nodiscard]] virtual bool adds_bos() const = 0;
  [[nodiscard]] virtual bool adds_eos() const = 0;
  [[nodiscard]] virtual bool IsEndOfGeneration(TokenId token) const = 0;
  // The token spelled exactly so, control tokens included.
  [[nodiscard]] virtual std::optional<TokenId> Find(std::string_view spelling) const = 0;
  // What the tables hold in memory, for the ledger's `vocab` account.
  [[nodiscard]] virtual uint64_t Bytes() const = 0;
};

}  // namespace plimsoll::text
