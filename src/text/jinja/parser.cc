#include "text/jinja/parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "text/jinja/lexer.h"
#include "text/jinja/parser_base.h"

namespace plimsoll::text::jinja {

namespace {

// From loosest to tightest; kNot is a prefix and the rest are binary.
enum Level : int {
  kOrLevel,
  kAndLevel,
  kNotLevel,
  kCompareLevel,
  kAddLevel,
  kMultiplyLevel,
  kPowerLevel
};

Op OperatorNamed(std::string_view text) {
  static const std::unordered_map<std::string_view, Op> kOps = {
      {"==", Op::kEqual},   {"!=", Op::kNotEqual},  {"<", Op::kLess},
      {">", Op::kGreater},  {"<=", Op::kLessEqual}, {">=", Op::kGreaterEqual},
      {"+", Op::kAdd},      {"-", Op::kSubtract},   {"~", Op::kConcatenate},
      {"*", Op::kMultiply}, {"/", Op::kDivide},     {"//", Op::kFloorDivide},
      {"%", Op::kModulo},   {"**", Op::kPower},
  };
  return kOps.at(text);
}

// Numbers are doubles in the reference: beyond 2^53 an integer is what a double makes of it.
Value NumberLiteral(const std::string& text) {
  const char* first = text.data() + (text.starts_with('+') ? 1 : 0);
  double number = 0;
  if (std::from_chars(first, text.data() + text.size(), number).ec != std::errc()) {
    number = text.starts_with('-') ? -HUGE_VAL : HUGE_VAL;
  }
  if (text.find('.') != std::string::npos) return number;
  if (std::abs(number) < 0x1p53 && !(number == 0 && std::signbit(number))) {
    return static_cast<int64_t>(number);
  }
  return Value::WideInteger{number};
}

class Parser : private ParserBase {
 public:
  explicit Parser(const Source& source) : ParserBase(source) {}

  Program Run() {
    Program program;
    while (!Is(TokenKind::kEnd)) Statement(program.body);
    program.names = TakeNames();
    program.source_bytes = source().text().size();
    return program;
  }

 private:
  using Block = std::vector<NodePtr>;

  // --- Statements ---

  void Statement(Block& block) {
    const Nesting nesting(*this);
    switch (Peek().kind) {
      case TokenKind::kComment:
        Take();
        return;
      case TokenKind::kText:
        return Text(block);
      case TokenKind::kOpenStatement:
        block.push_back(Finish(Tag()));
        return;
      case TokenKind::kOpenExpression: {
        NodePtr output = Make(NodeKind::kOutput);
        Take();
        output->a = Expression();
        Expect(TokenKind::kCloseExpression, "expected }}");
        block.push_back(Finish(std::move(output)));
        return;
      }
      case TokenKind::kEnd:
        Reject("the template ends inside a block");
      default:
        Reject("expected text or a tag");
    }
  }

  void Text(Block& block) {
    NodePtr text = Make(NodeKind::kText);
    text->literal = Take().text;
    block.push_back(std::move(text));
  }

  // Statements up to (not with) one of the tags named.
  Block BlockUntil(std::initializer_list<std::string_view> ends) {
    Block block;
    while (!IsTag(ends)) Statement(block);
    return block;
  }

  void EndTag(std::string_view name) {
    Expect(TokenKind::kOpenStatement, "expected {%");
    ExpectName(name);
    CloseTag();
  }
  void CloseTag() { Expect(TokenKind::kCloseStatement, "expected %}"); }

  NodePtr Tag() {
    Take();
    if (!Is(TokenKind::kName)) Reject("expected the name of a statement");
    const std::string name = Peek().text;
    if (name == "if") return If();
    if (name == "for") return For();
    if (name == "set") return Set();
    if (name == "macro") return Macro();
    if (name == "call") return CallBlock();
    if (name == "filter") return FilterBlock();
    if (name == "break" || name == "continue") {
      NodePtr jump = Make(name == "break" ? NodeKind::kBreak : NodeKind::kContinue);
      Take();
      CloseTag();
      return jump;
    }
    Reject(fmt::format("unknown statement '{}'", name));
  }

  // An elif is an if inside the else.
  NodePtr If() {
    NodePtr node = Make(NodeKind::kIf);
    Take();
    node->a = Expression();
    CloseTag();
    node->body = BlockUntil({"elif", "else", "endif"});
    if (IsTag({"elif"})) {
      const Nesting nesting(*this);
      Take();
      node->otherwise.push_back(Finish(If()));
      return node;
    }
    if (IsTag({"else"})) {
      Take();
      Take();
      CloseTag();
      node->otherwise = BlockUntil({"endif"});
    }
    EndTag("endif");
    return node;
  }

  NodePtr For() {
    NodePtr node = Make(NodeKind::kFor);
    Take();
    node->a = Sequence(&Parser::Primary);
    if (node->a->kind != NodeKind::kName && node->a->kind != NodeKind::kTuple) {
      Reject("expected one or more names as loop variables");
    }
    ExpectName("in");
    node->b = Expression();
    CloseTag();
    node->body = BlockUntil({"endfor", "else"});
    if (IsTag({"else"})) {
      Take();
      Take();
      CloseTag();
      node->otherwise = BlockUntil({"endfor"});
    }
    EndTag("endfor");
    return node;
  }

  NodePtr Set() {
    NodePtr node = Make(NodeKind::kSet);
    Take();
    node->a = Sequence(&Parser::Expression);
    if (Accept(TokenKind::kAssign)) {
      node->b = Sequence(&Parser::Expression);
      CloseTag();
      return node;
    }
    CloseTag();
    node->body = BlockUntil({"endset"});
    EndTag("endset");
    return node;
  }

  NodePtr Macro() {
    NodePtr node = Make(NodeKind::kMacro);
    Take();
    if (!Is(TokenKind::kName)) Reject("expected the name of the macro");
    node->symbol = Intern(Take().text);
    node->parameters = Arguments(true);
    CloseTag();
    node->body = BlockUntil({"endmacro"});
    EndTag("endmacro");
    FindSpecialParameters(*node);
    return node;
  }

  NodePtr CallBlock() {
    NodePtr node = Make(NodeKind::kCallBlock);
    Take();
    if (Is(TokenKind::kOpenParen)) node->parameters = Arguments(true);
    node->a = Primary();
    if (node->a->kind != NodeKind::kName) Reject("expected the name of the macro to call");
    node->arguments = Arguments(false);
    CloseTag();
    node->body = BlockUntil({"endcall"});
    EndTag("endcall");
    FindSpecialParameters(*node);
    return node;
  }

  NodePtr FilterBlock() {
    NodePtr node = Make(NodeKind::kFilterBlock);
    Take();
    node->a = FilterCall();
    CloseTag();
    node->body = BlockUntil({"endfilter"});
    EndTag("endfilter");
    return node;
  }

  // --- Expressions ---

  // One expression, or a tuple of those that commas join.
  NodePtr Sequence(NodePtr (Parser::*element)()) {
    NodePtr first = (this->*element)();
    if (!Is(TokenKind::kComma)) return first;
    NodePtr tuple = Make(NodeKind::kTuple);
    tuple->items.push_back(std::move(first));
    while (Accept(TokenKind::kComma)) tuple->items.push_back((this->*element)());
    return Finish(std::move(tuple));
  }

  NodePtr Expression() {
    const Nesting nesting(*this);
    NodePtr value = Binary(kOrLevel);
    if (!IsName("if")) return value;
    NodePtr node = Make(NodeKind::kSelect);
    Take();
    node->a = std::move(value);
    node->b = Binary(kOrLevel);
    if (AcceptName("else")) {
      node->kind = NodeKind::kTernary;
      node->c = Expression();
    }
    return Finish(std::move(node));
  }

  NodePtr Not() {
    const Nesting nesting(*this);
    NodePtr node;
    while (IsName("not")) {
      node = Make(NodeKind::kNot);
      Take();
      node->a = Binary(kNotLevel);
      node = Finish(std::move(node));
    }
    return node;
  }

  NodePtr Binary(int loosest) {
    const bool negation = loosest <= kNotLevel && IsName("not");
    NodePtr left = negation ? Not() : Test();
    for (int level = negation ? kAndLevel : kPowerLevel; level >= loosest; --level) {
      Op op = AcceptOperator(level);
      if (op == Op::kNone) continue;
      NodePtr chain = Make(NodeKind::kChain);
      chain->a = std::move(left);
      for (; op != Op::kNone; op = AcceptOperator(level)) {
        chain->links.push_back({op, Binary(level + 1)});
      }
      left = Finish(std::move(chain));
    }
    return left;
  }

  Op AcceptOperator(int level) {
    switch (level) {
      case kOrLevel:
        return AcceptName("or") ? Op::kOr : Op::kNone;
      case kAndLevel:
        return AcceptName("and") ? Op::kAnd : Op::kNone;
      case kCompareLevel:
        if (IsName("not") && IsName("in", 1)) {
          Take();
          Take();
          return Op::kNotIn;
        }
        if (AcceptName("in")) return Op::kIn;
        return AcceptOperator(TokenKind::kComparison);
      case kAddLevel:
        return AcceptOperator(TokenKind::kAdditive);
      case kMultiplyLevel:
        return AcceptOperator(TokenKind::kMultiplicative);
      case kPowerLevel:
        return AcceptOperator(TokenKind::kPower);
      default:
        return Op::kNone;
    }
  }
  Op AcceptOperator(TokenKind kind) { return Is(kind) ? OperatorNamed(Take().text) : Op::kNone; }

  NodePtr Test() {
    NodePtr operand = Filtered();
    while (AcceptName("is")) {
      NodePtr node = Make(NodeKind::kTest);
      node->a = std::move(operand);
      node->negated = AcceptName("not");
      if (!Is(TokenKind::kName)) Reject("expected the name of a test");
      node->symbol = Intern(Take().text);
      if (Is(TokenKind::kOpenParen)) node->arguments = Arguments(false);
      operand = Finish(std::move(node));
    }
    return operand;
  }

  NodePtr Filtered() {
    NodePtr operand = Signed();
    while (Accept(TokenKind::kPipe)) {
      if (!Is(TokenKind::kName)) Reject("expected the name of a filter");
      NodePtr filter = FilterCall();
      filter->a = std::move(operand);
      operand = Finish(std::move(filter));
    }
    return operand;
  }

  NodePtr FilterCall() {
    NodePtr node = Make(NodeKind::kFilter);
    if (!Is(TokenKind::kName)) {
      node->broken = true;
      node->b = Primary();
      return node;
    }
    node->symbol = Intern(Take().text);
    if (!Is(TokenKind::kOpenParen)) return node;
    node->called = true;
    node->arguments = Arguments(false);
    if (Is(TokenKind::kDot) || Is(TokenKind::kOpenBracket) || Is(TokenKind::kOpenParen)) {
      node->broken = true;
      node->b = Postfix(Make(NodeKind::kLiteral));
    }
    return Finish(std::move(node));
  }

  NodePtr Signed() {
    const bool sign = Is(TokenKind::kSign) || Is(TokenKind::kAdditive);
    if (!sign || Peek().text == "~") return Postfix(Primary());
    const Nesting nesting(*this);
    NodePtr node = Make(NodeKind::kSign);
    node->op = Take().text == "-" ? Op::kSubtract : Op::kAdd;
    node->a = Signed();
    return Finish(std::move(node));
  }

  // Members, items, slices and calls after an operand.
  NodePtr Postfix(NodePtr operand) {
    while (true) {
      if (Is(TokenKind::kDot)) {
        operand = Member(std::move(operand));
      } else if (Is(TokenKind::kOpenBracket)) {
        operand = Item(std::move(operand));
      } else if (Is(TokenKind::kOpenParen)) {
        NodePtr call = Make(NodeKind::kCall);
        call->a = std::move(operand);
        call->arguments = Arguments(false);
        operand = Finish(std::move(call));
      } else {
        return operand;
      }
    }
  }

  NodePtr Member(NodePtr operand) {
    NodePtr node = Make(NodeKind::kMember);
    Take();
    node->a = std::move(operand);
    if (Is(TokenKind::kName)) {
      node->symbol = Intern(Take().text);
      return Finish(std::move(node));
    }
    if (!Is(TokenKind::kNumber) || Peek().text.find('.') != std::string::npos) {
      Reject("expected a name or an integer after the dot");
    }
    node->kind = NodeKind::kItem;
    node->b = Primary();
    return Finish(std::move(node));
  }

  NodePtr Item(NodePtr operand) {
    NodePtr node = Make(NodeKind::kItem);
    Take();
    node->a = std::move(operand);
    while (!Is(TokenKind::kCloseBracket)) {
      const bool left_out = Is(TokenKind::kColon);
      node->items.push_back(left_out ? nullptr : Expression());
      if (Accept(TokenKind::kColon)) node->kind = NodeKind::kSlice;
    }
    Take();
    if (node->items.empty()) Reject("expected an index or a slice in the brackets");
    if (node->kind == NodeKind::kSlice) {
      if (node->items.size() > 3) Reject("a slice has at most start, stop and step");
      return Finish(std::move(node));
    }
    node->b = std::move(node->items.front());
    node->items.clear();
    return Finish(std::move(node));
  }

  NodePtr Primary() {
    NodePtr node = Make(NodeKind::kLiteral);
    const Token token = Take();
    switch (token.kind) {
      case TokenKind::kNumber:
        node->literal = NumberLiteral(token.text);
        return node;
      case TokenKind::kString: {
        std::string text = token.text;
        while (Is(TokenKind::kString)) text += Take().text;
        node->literal = std::move(text);
        return node;
      }
      case TokenKind::kName:
        node->kind = NodeKind::kName;
        node->symbol = Intern(token.text);
        return node;
      case TokenKind::kOpenParen:
        node = Sequence(&Parser::Expression);
        Expect(TokenKind::kCloseParen, "expected )");
        return node;
      case TokenKind::kOpenBracket:
        return ListLiteral(std::move(node));
      case TokenKind::kOpenBrace:
        return DictLiteral(std::move(node));
      default:
        RejectAt(token.at, token.kind == TokenKind::kEnd ? "the template ends inside an expression"
                                                         : "expected a value");
    }
  }

  NodePtr ListLiteral(NodePtr node) {
    node->kind = NodeKind::kList;
    while (!Accept(TokenKind::kCloseBracket)) {
      node->items.push_back(Expression());
      Accept(TokenKind::kComma);
    }
    return Finish(std::move(node));
  }

  NodePtr DictLiteral(NodePtr node) {
    node->kind = NodeKind::kDict;
    while (!Accept(TokenKind::kCloseBrace)) {
      node->items.push_back(Expression());
      Expect(TokenKind::kColon, "expected : between key and value");
      node->items.push_back(Expression());
      Accept(TokenKind::kComma);
    }
    return Finish(std::move(node));
  }

  // --- Arguments ---

  std::vector<Argument> Arguments(bool parameters) {
    Expect(TokenKind::kOpenParen, "expected (");
    std::vector<Argument> arguments;
    std::unordered_set<Symbol> names;
    while (!Is(TokenKind::kCloseParen)) {
      Argument argument = OneArgument(parameters);
      if (parameters && !names.insert(argument.name).second) Reject("two parameters of one name");
      CheckOrder(arguments, argument, parameters);
      const bool last = argument.form == Argument::Form::kKeywordSpread;
      arguments.push_back(std::move(argument));
      Accept(TokenKind::kComma);
      if (last && !Is(TokenKind::kCloseParen)) Reject("expected ) after the argument with **");
    }
    Take();
    return arguments;
  }

  Argument OneArgument(bool parameter) {
    Argument argument;
    const bool spread = Is(TokenKind::kMultiplicative) && Peek().text == "*";
    if (spread || Is(TokenKind::kPower)) {
      if (parameter) Reject("a parameter cannot have * or **");
      Take();
      argument.form = spread ? Argument::Form::kSpread : Argument::Form::kKeywordSpread;
      argument.value = Expression();
      return argument;
    }
    argument.value = Expression();
    const bool named = argument.value->kind == NodeKind::kName;
    if (Accept(TokenKind::kAssign)) {
      if (!named) Reject("expected a name before =");
      argument.form = Argument::Form::kKeyword;
      argument.name = argument.value->symbol;
      argument.value = Expression();
    } else if (parameter) {
      if (!named) Reject("expected the name of a parameter");
      argument.name = argument.value->symbol;
      argument.value = nullptr;
    }
    return argument;
  }

  void CheckOrder(const std::vector<Argument>& before, const Argument& next, bool parameters) {
    const auto seen = [&](Argument::Form form) {
      return std::ranges::any_of(before, [&](const Argument& a) { return a.form == form; });
    };
    if (next.form == Argument::Form::kSpread && seen(Argument::Form::kSpread)) {
      Reject("only one argument can have *");
    }
    if (next.form != Argument::Form::kPositional) return;
    if (seen(Argument::Form::kKeyword)) {
      Reject(parameters ? "a parameter without default follows one with a default"
                        : "a positional argument follows a keyword argument");
    }
    if (seen(Argument::Form::kSpread)) Reject("a positional argument follows one with *");
  }
};

}  // namespace

Program ParseProgram(const Source& source) { return Parser(source).Run(); }

}  // namespace plimsoll::text::jinja
