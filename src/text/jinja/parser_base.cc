#include "text/jinja/parser_base.h"

#include "text/jinja/parser.h"

namespace plimsoll::text::jinja {

ParserBase::ParserBase(const Source& source) : source_(source), tokens_(Tokenize(source)) {
  for (const char* name : {"loop", "caller", "namespace", "kwargs", "varargs"}) {
    static_cast<void>(Intern(name));
  }
}

ParserBase::Nesting::Nesting(ParserBase& parser) : parser_(parser) {
  if (parser_.nesting_ >= kMaxNesting) {
    parser_.Reject(fmt::format("nested deeper than the limit of {} levels", kMaxNesting));
  }
  ++parser_.nesting_;
}

const Token& ParserBase::Take() {
  const Token& token = tokens_[at_];
  if (token.kind != TokenKind::kEnd) ++at_;
  return token;
}

bool ParserBase::IsTag(std::initializer_list<std::string_view> names) const {
  return Is(TokenKind::kOpenStatement) &&
         std::ranges::any_of(names, [&](std::string_view name) { return IsName(name, 1); });
}

bool ParserBase::Accept(TokenKind kind) {
  if (!Is(kind)) return false;
  Take();
  return true;
}

bool ParserBase::AcceptName(std::string_view name) {
  if (!IsName(name)) return false;
  Take();
  return true;
}

void ParserBase::Expect(TokenKind kind, std::string_view error) {
  if (!Accept(kind)) Reject(error);
}

void ParserBase::ExpectName(std::string_view name) {
  if (!AcceptName(name)) Reject(fmt::format("expected '{}'", name));
}

NodePtr ParserBase::Make(NodeKind kind) const {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->at = Peek().at;
  return node;
}

NodePtr ParserBase::Finish(NodePtr node) const {
  uint32_t below = 0;
  const auto look = [&](const NodePtr& child) {
    if (child) below = std::max(below, child->depth);
  };
  for (const NodePtr* child : {&node->a, &node->b, &node->c}) look(*child);
  for (const auto* children : {&node->items, &node->body, &node->otherwise}) {
    std::ranges::for_each(*children, look);
  }
  for (const Link& link : node->links) look(link.right);
  for (const auto* arguments : {&node->arguments, &node->parameters}) {
    for (const Argument& argument : *arguments) look(argument.value);
  }
  node->depth = below + 1;
  if (node->depth > kMaxNodeDepth) {
    RejectAt(node->at,
             fmt::format("nested deeper than the limit of {} levels of operations", kMaxNodeDepth));
  }
  return node;
}

Symbol ParserBase::Intern(const std::string& name) {
  const auto [at, added] = symbols_.try_emplace(name, static_cast<Symbol>(names_.size()));
  if (added) names_.push_back(name);
  return at->second;
}

}  // namespace plimsoll::text::jinja
