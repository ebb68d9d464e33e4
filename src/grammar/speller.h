// Characters as a grammar says them: in UTF-8 as they are, or as they stand inside a JSON string.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "grammar/code_points.h"
#include "grammar/grammar_builder.h"

namespace plimsoll::grammar {

class Speller {
 public:
  // In a JSON string each character has exactly one spelling: itself, or where JSON wants an escape
  // the shortest one (\" \\ \b \f \n \r \t, \u00xx with small digits). So what is said and what is
  // meant are the same thing twice, and a set of texts is a set of strings.
  enum class Form { kPlain, kJsonString };

  // `builder` must outlive it.
  Speller(GrammarBuilder& builder, Form form) : builder_(builder), form_(form) {}

  // One character of the set. Asked for again, it is the same symbol.
  [[nodiscard]] Symbol OneOf(const CodePoints& set);
  // `text` must be UTF-8.
  void Append(Sequence& sequence, std::string_view text);

  // Any string's contents or any text, `min` to `max` characters long.
  [[nodiscard]] Symbol Any(uint32_t min = 0, uint32_t max = kUnbounded) {
    return builder_.Repeat(OneOf(CodePoints::All()), min, max);
  }

 private:
  [[nodiscard]] Symbol Make(const CodePoints& set);
  void AddEscapes(const CodePoints& set, ByteSet& plain, std::vector<Sequence>& ways);

  GrammarBuilder& builder_;
  Form form_;
  std::map<CodePoints, Symbol> made_;
  std::map<CodePointRange, Symbol> made_ranges_;  // beyond ASCII
};

// `text` as the contents of a JSON string, each character in the spelling above.
[[nodiscard]] std::string JsonSpelling(std::string_view text);

}  // namespace plimsoll::grammar
