// Template text to tokens.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/source.h"

namespace plimsoll::text::jinja {

enum class TokenKind {
  kText,
  kComment,
  kOpenStatement,    // {%
  kCloseStatement,   // %}
  kOpenExpression,   // {{
  kCloseExpression,  // }}
  kNumber,
  kString,
  kName,
  kOpenParen,
  kCloseParen,
  kOpenBracket,
  kCloseBracket,
  kOpenBrace,
  kCloseBrace,
  kComma,
  kDot,
  kColon,
  kPipe,
  kAssign,          // =
  kAdditive,        // + - ~
  kMultiplicative,  // * / // %
  kPower,           // **
  kComparison,      // < > <= >= == !=
  kSign,            // + or - that cannot be binary
  kEnd,             // after the last
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // of kText, kString (unescaped), kNumber, kName and operators
  size_t at = 0;     // offset in Source::text()
};

// The tokens, closed by a kEnd. Throws Stop (kBadModel) where the text is no template.
[[nodiscard]] std::vector<Token> Tokenize(const Source& source);

}  // namespace plimsoll::text::jinja
