// The parsed form of a template.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace plimsoll::text::jinja {

// A name's place in Program::names.
using Symbol = uint32_t;

// In the comments: which fields of Node a kind uses.
enum class NodeKind : uint8_t {
  // Statements.
  kText,         // literal
  kOutput,       // a
  kIf,           // a, body, otherwise
  kFor,          // a: name or tuple, b: iterable (a kSelect filters), body, otherwise
  kSet,          // a: target, b: value or null and then body
  kMacro,        // symbol, parameters, body, takes_*
  kCallBlock,    // a: callee, arguments, parameters (of the caller), body, takes_*
  kFilterBlock,  // a: a kFilter without operand, body
  kBreak,
  kContinue,
  // Expressions.
  kLiteral,  // literal
  kName,     // symbol
  kList,     // items
  kTuple,    // items
  kDict,     // items: key, value, key, value, ...
  kMember,   // a.symbol
  kItem,     // a[b]
  kSlice,    // a[items]: start, stop, step; null or absent ones are left out
  kCall,     // a(arguments)
  kSign,     // op a
  kNot,      // a
  kChain,    // a, then links from left to right
  kFilter,   // a | symbol(arguments); called: with parentheses; broken: see there
  kTest,     // a is symbol(arguments); negated
  kSelect,   // a if b
  kTernary,  // a if b else c
};

enum class Op : uint8_t {
  kNone,
  kOr,
  kAnd,
  kEqual,
  kNotEqual,
  kLess,
  kGreater,
  kLessEqual,
  kGreaterEqual,
  kIn,
  kNotIn,
  kAdd,
  kSubtract,
  kConcatenate,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
};

struct Node;
using NodePtr = std::unique_ptr<Node>;

// Of a call; or a parameter: kPositional without default, kKeyword with one.
struct Argument {
  enum class Form : uint8_t { kPositional, kKeyword, kSpread, kKeywordSpread };
  Form form = Form::kPositional;
  Symbol name = 0;
  NodePtr value;
};

struct Link {
  Op op = Op::kNone;
  NodePtr right;
};

struct Node {
  NodeKind kind = NodeKind::kLiteral;
  Op op = Op::kNone;
  bool negated = false;
  bool called = false;
  // A filter whose call goes on (`x | f(1).y`): parsed, but refused when it is reached.
  bool broken = false;
  // Macro bodies that read the names kwargs or varargs get them; others refuse surplus arguments.
  bool takes_kwargs = false;
  bool takes_varargs = false;
  uint32_t depth = 1;  // levels of nodes, this one included
  Symbol symbol = 0;
  size_t at = 0;  // offset in Source::text()
  Value literal;
  NodePtr a;
  NodePtr b;
  NodePtr c;
  std::vector<NodePtr> items;
  std::vector<Link> links;
  std::vector<Argument> arguments;
  std::vector<Argument> parameters;
  std::vector<NodePtr> body;
  std::vector<NodePtr> otherwise;
};

struct Program {
  std::vector<NodePtr> body;
  std::vector<std::string> names;
  uint64_t source_bytes = 0;
};

}  // namespace plimsoll::text::jinja
