#include "text/jinja/lexer.h"

#include <array>
#include <charconv>

#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

struct Punctuation {
  std::string_view text;
  TokenKind kind;
};

// Tried in this order: the longer of two with one beginning comes first.
constexpr std::array kPunctuation = {
    Punctuation{"{%", TokenKind::kOpenStatement},  Punctuation{"%}", TokenKind::kCloseStatement},
    Punctuation{"{{", TokenKind::kOpenExpression}, Punctuation{"}}", TokenKind::kCloseExpression},
    Punctuation{"(", TokenKind::kOpenParen},       Punctuation{")", TokenKind::kCloseParen},
    Punctuation{"{", TokenKind::kOpenBrace},       Punctuation{"}", TokenKind::kCloseBrace},
    Punctuation{"[", TokenKind::kOpenBracket},     Punctuation{"]", TokenKind::kCloseBracket},
    Punctuation{",", TokenKind::kComma},           Punctuation{".", TokenKind::kDot},
    Punctuation{":", TokenKind::kColon},           Punctuation{"|", TokenKind::kPipe},
    Punctuation{"<=", TokenKind::kComparison},     Punctuation{">=", TokenKind::kComparison},
    Punctuation{"==", TokenKind::kComparison},     Punctuation{"!=", TokenKind::kComparison},
    Punctuation{"<", TokenKind::kComparison},      Punctuation{">", TokenKind::kComparison},
    Punctuation{"+", TokenKind::kAdditive},        Punctuation{"-", TokenKind::kAdditive},
    Punctuation{"~", TokenKind::kAdditive},        Punctuation{"**", TokenKind::kPower},
    Punctuation{"*", TokenKind::kMultiplicative},  Punctuation{"//", TokenKind::kMultiplicative},
    Punctuation{"/", TokenKind::kMultiplicative},  Punctuation{"%", TokenKind::kMultiplicative},
    Punctuation{"=", TokenKind::kAssign},
};

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text()) {}

  std::vector<Token> Run() {
    while (at_ < text_.size()) {
      if (!Text() && !Comment() && !StrippingOpen()) InsideTag();
    }
    Push(TokenKind::kEnd, {}, text_.size());
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] bool Sees(std::string_view word) const {
    return text_.substr(at_).starts_with(word);
  }
  [[nodiscard]] char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void Push(TokenKind kind, std::string_view text, size_t at) {
    tokens_.push_back({kind, std::string(text), at});
  }
  void SkipSpace() {
    while (const size_t bytes = SpaceBytesAt(text_, at_)) at_ += bytes;
  }
  void NeedMore() const {
    if (at_ >= text_.size()) source_.Reject(at_, "the template ends inside a tag");
  }

  void StripTextBefore() {
    if (tokens_.empty() || tokens_.back().kind != TokenKind::kText) return;
    std::string& text = tokens_.back().text;
    text.resize(TrimEnd(text).size());
    if (text.empty()) tokens_.pop_back();
  }

  // Everything up to the next tag, when outside of one.
  bool Text() {
    if (!tokens_.empty() && tokens_.back().kind != TokenKind::kCloseStatement &&
        tokens_.back().kind != TokenKind::kCloseExpression &&
        tokens_.back().kind != TokenKind::kComment) {
      return false;
    }
    size_t end = text_.find('{', at_);
    while (end != std::string_view::npos && end + 1 < text_.size() && text_[end + 1] != '%' &&
           text_[end + 1] != '{' && text_[end + 1] != '#') {
      end = text_.find('{', end + 1);
    }
    if (end == std::string_view::npos || end + 1 >= text_.size()) end = text_.size();
    if (end == at_) return false;
    Push(TokenKind::kText, text_.substr(at_, end - at_), at_);
    at_ = end;
    return true;
  }

  bool Comment() {
    if (!Sees("{#")) return false;
    const size_t start = at_;
    at_ += 2;
    const bool strips_before = Peek() == '-';
    if (strips_before) ++at_;
    const size_t end = text_.find("#}", at_);
    if (end == std::string_view::npos) source_.Reject(start, "this comment has no end (#})");
    const bool strips_after = end > at_ && text_[end - 1] == '-';
    if (strips_before) StripTextBefore();
    Push(TokenKind::kComment, {}, start);
    at_ = end + 2;
    if (strips_after) SkipSpace();
    return true;
  }

  bool StrippingOpen() {
    const bool statement = Sees("{%-");
    if (!statement && !Sees("{{-")) return false;
    StripTextBefore();
    Push(statement ? TokenKind::kOpenStatement : TokenKind::kOpenExpression, text_.substr(at_, 2),
         at_);
    if (!statement) brace_depth_ = 0;
    at_ += 3;
    return true;
  }

  void InsideTag() {
    SkipSpace();
    NeedMore();
    if (!StrippingClose() && !SignedNumber() && !Operator() && !String() && !Number() && !Name()) {
      source_.Reject(
          at_, fmt::format("unexpected character '{}'", text_.substr(at_, CharBytes(text_, at_))));
    }
  }

  bool StrippingClose() {
    const bool statement = Sees("-%}");
    if (!statement && !Sees("-}}")) return false;
    Push(statement ? TokenKind::kCloseStatement : TokenKind::kCloseExpression,
         text_.substr(at_ + 1, 2), at_);
    at_ += 3;
    SkipSpace();
    return true;
  }

  // A sign that cannot be a binary operator takes the digits after it into one number.
  bool SignedNumber() {
    const char sign = Peek();
    if (sign != '-' && sign != '+') return false;
    if (tokens_.empty() || tokens_.back().kind == TokenKind::kText) {
      source_.Reject(at_, fmt::format("unexpected character '{}'", sign));
    }
    switch (tokens_.back().kind) {
      case TokenKind::kName:
      case TokenKind::kNumber:
      case TokenKind::kString:
      case TokenKind::kCloseParen:
      case TokenKind::kCloseBracket:
        return false;
      default:
        break;
    }
    const size_t start = at_++;
    SkipDigits();
    if (at_ > start + 1) SkipFraction();
    Push(at_ > start + 1 ? TokenKind::kNumber : TokenKind::kSign, text_.substr(start, at_ - start),
         start);
    return true;
  }

  void SkipDigits() {
    if (!IsDigit(Peek())) return;
    while (IsDigit(Peek())) ++at_;
    NeedMore();
  }
  void SkipFraction() {
    if (Peek() != '.' || !IsDigit(Peek(1))) return;
    ++at_;
    SkipDigits();
  }

  bool Operator() {
    for (const Punctuation& symbol : kPunctuation) {
      if (!Sees(symbol.text)) continue;
      // Inside a dict literal "}}" closes two dicts.
      if (symbol.kind == TokenKind::kCloseExpression && brace_depth_ > 0) continue;
      Push(symbol.kind, symbol.text, at_);
      if (symbol.kind == TokenKind::kOpenExpression) brace_depth_ = 0;
      if (symbol.kind == TokenKind::kOpenBrace) ++brace_depth_;
      if (symbol.kind == TokenKind::kCloseBrace) --brace_depth_;
      at_ += symbol.text.size();
      return true;
    }
    return false;
  }

  bool Number() {
    if (!IsDigit(Peek())) return false;
    const size_t start = at_;
    const bool after_dot = !tokens_.empty() && tokens_.back().kind == TokenKind::kDot;
    SkipDigits();
    if (!after_dot) SkipFraction();
    Push(TokenKind::kNumber, text_.substr(start, at_ - start), start);
    return true;
  }

  bool Name() {
    if (!IsWord(Peek())) return false;
    const size_t start = at_;
    while (IsWord(Peek())) ++at_;
    NeedMore();
    Push(TokenKind::kName, text_.substr(start, at_ - start), start);
    return true;
  }

  bool String() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return false;
    const size_t start = at_++;
    std::string text;
    while (true) {
      const size_t end = text_.find_first_of(quote == '\'' ? "'\\" : "\"\\", at_);
      if (end == std::string_view::npos) source_.Reject(start, "this string has no end");
      text.append(text_, at_, end - at_);
      at_ = end + 1;
      if (text_[end] == quote) break;
      text.append(Escape());
    }
    NeedMore();
    Push(TokenKind::kString, text, start);
    return true;
  }

  // After a backslash.
  std::string Escape() {
    const char c = Peek();
    constexpr std::string_view kNames = "ntrbfv'\"\\";
    constexpr std::string_view kMeanings = "\n\t\r\b\f\v'\"\\";
    if (c == 'x' || c == 'u') return HexEscape();
    const size_t which = at_ < text_.size() ? kNames.find(c) : std::string_view::npos;
    if (which == std::string_view::npos) source_.Reject(at_, "unknown escape in a string");
    ++at_;
    return std::string(1, kMeanings[which]);
  }

  uint32_t HexDigits() {
    const size_t digits = Peek() == 'x' ? 2 : 4;
    ++at_;
    uint32_t code = 0;
    const char* first = text_.data() + at_;
    const char* last = first + std::min(digits, text_.size() - at_);
    const auto [end, error] = std::from_chars(first, last, code, 16);
    if (error != std::errc() || end != first + digits) {
      source_.Reject(at_, "a hexadecimal escape needs 2 digits after \\x and 4 after \\u");
    }
    at_ += digits;
    return code;
  }

  // Two escaped surrogates make one character.
  std::string HexEscape() {
    uint32_t code = HexDigits();
    if (code >= 0xD800 && code < 0xDC00 && Sees("\\u")) {
      const size_t second_at = at_++;
      const uint32_t second = HexDigits();
      if (second >= 0xDC00 && second < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
      } else {
        at_ = second_at;
      }
    }
    std::string text;
    AppendUtf8(text, code);
    return text;
  }

  const Source& source_;
  std::string_view text_;
  size_t at_ = 0;
  int brace_depth_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Tokenize(const Source& source) { return Lexer(source).Run(); }

}  // namespace plimsoll::text::jinja
