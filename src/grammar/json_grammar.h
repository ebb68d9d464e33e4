// The parts of JSON that every schema needs, each made once in a grammar.
#pragma once

#include <optional>
#include <string_view>

#include "grammar/grammar_builder.h"
#include "grammar/json_tree.h"
#include "grammar/speller.h"

namespace plimsoll::grammar {

// White space is bounded, so that a model cannot go on with it for ever: behind `{`, `[` and `,`
// and before `}` and `]` nothing, one space, or one line's end with up to 20 blanks and tabs;
// behind `:` nothing or one space; nowhere else any. Numbers have up to 16 digits before and behind
// the point and up to two in the exponent.
class JsonGrammar {
 public:
  // `builder` must outlive it.
  explicit JsonGrammar(GrammarBuilder& builder)
      : builder_(builder), speller_(builder, Speller::Form::kJsonString) {}

  [[nodiscard]] GrammarBuilder& builder() { return builder_; }
  // Of characters in strings whose contents matter: each in one spelling.
  [[nodiscard]] Speller& speller() { return speller_; }

  [[nodiscard]] Symbol Space();
  [[nodiscard]] Symbol Digit() { return builder_.Bytes(DigitSet('0', '9')); }
  [[nodiscard]] Symbol Digits(char first, char last) {
    return builder_.Bytes(DigitSet(first, last));
  }
  [[nodiscard]] Symbol Text(std::string_view text);

  // A string of `min` to `max` characters, spelled in any way that JSON allows but for lone
  // surrogates.
  [[nodiscard]] Symbol String(uint32_t min = 0, uint32_t max = kUnbounded);
  [[nodiscard]] Symbol Integer();
  [[nodiscard]] Symbol Number();
  [[nodiscard]] Symbol Object();
  [[nodiscard]] Symbol Array();
  [[nodiscard]] Symbol Value();

  void AppendComma(Sequence& sequence);  // with what may follow it
  void AppendColon(Sequence& sequence);
  // A key with its quotes and the colon.
  void AppendKey(Sequence& sequence, std::string_view key);
  // A value as it is, with white space where it may be.
  void AppendValue(Sequence& sequence, const JsonTree& tree, NodeId id);
  // `open` Space (contents Space)? `close`: the contents may be left out where `may_be_empty`, and
  // must be where there are none.
  [[nodiscard]] Sequence Enclosed(char open, std::optional<Symbol> contents, bool may_be_empty,
                                  char close);
  // `item` `min` to `max` times with commas between; `max` at least 1, and the whole is left out by
  // whoever encloses it where `min` is 0.
  [[nodiscard]] Symbol List(Symbol item, uint32_t min, uint32_t max);

 private:
  [[nodiscard]] static ByteSet DigitSet(char first, char last);
  [[nodiscard]] Symbol StringCharacter();
  [[nodiscard]] Symbol Optional(Sequence parts);
  // Made on first use; declared before it is filled.
  template <class Fill>
  [[nodiscard]] Symbol Once(std::optional<Symbol>& made, Fill fill);

  GrammarBuilder& builder_;
  Speller speller_;
  std::optional<Symbol> space_;
  std::optional<Symbol> after_colon_;
  std::optional<Symbol> character_;
  std::optional<Symbol> string_;
  std::optional<Symbol> integer_;
  std::optional<Symbol> number_;
  std::optional<Symbol> object_;
  std::optional<Symbol> array_;
  std::optional<Symbol> value_;
};

// A value as JSON text without white space, equal for equal values (1 and 1.0 are).
[[nodiscard]] std::string CanonicalText(const JsonTree& tree, NodeId id);

}  // namespace plimsoll::grammar
