// Token access, names and limits for the parser.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace plimsoll::text::jinja {

class ParserBase {
 public:
  explicit ParserBase(const Source& source);

 protected:
  // One more level of blocks or parentheses while it lives; refuses the template beyond the limit.
  class Nesting {
   public:
    explicit Nesting(ParserBase& parser);
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ~Nesting() { --parser_.nesting_; }

   private:
    ParserBase& parser_;
  };

  [[nodiscard]] const Source& source() const { return source_; }
  [[nodiscard]] const Token& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  // The kEnd is never passed.
  const Token& Take();
  [[nodiscard]] bool Is(TokenKind kind) const { return Peek().kind == kind; }
  [[nodiscard]] bool IsName(std::string_view name, size_t ahead = 0) const {
    return Peek(ahead).kind == TokenKind::kName && Peek(ahead).text == name;
  }
  // A {% followed by one of the names.
  [[nodiscard]] bool IsTag(std::initializer_list<std::string_view> names) const;
  bool Accept(TokenKind kind);
  bool AcceptName(std::string_view name);
  void Expect(TokenKind kind, std::string_view error);
  void ExpectName(std::string_view name);
  [[noreturn]] void Reject(std::string_view what) const { RejectAt(Peek().at, what); }
  [[noreturn]] void RejectAt(size_t at, std::string_view what) const { source_.Reject(at, what); }

  // A node placed at the next token.
  [[nodiscard]] NodePtr Make(NodeKind kind) const;
  // Sets the depth of a complete node; refuses the template beyond the limit.
  [[nodiscard]] NodePtr Finish(NodePtr node) const;

  [[nodiscard]] Symbol Intern(const std::string& name);
  [[nodiscard]] std::vector<std::string> TakeNames() { return std::move(names_); }

 private:
  const Source& source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t nesting_ = 0;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Symbol> symbols_;
};

}  // namespace plimsoll::text::jinja
