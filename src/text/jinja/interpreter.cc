#include "text/jinja/interpreter.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

uint64_t Bytes(const Value& value) {
  uint64_t bytes = 8;
  if (value.is(Kind::kString)) bytes += value.string().size();
  if (value.is(Kind::kList)) {
    for (const Value& item : value.list()) bytes += Bytes(item);
  }
  if (value.is(Kind::kDict)) {
    for (const auto& [key, member] : value.dict().members()) bytes += key.size() + Bytes(member);
  }
  return bytes;
}

Limits WithInput(Limits limits, const Program& program, const Value& context) {
  limits.output_bytes += 4 * (program.source_bytes + Bytes(context));
  limits.memory_bytes = 16 * limits.output_bytes;
  return limits;
}

std::tm LocalNow() {
  const std::time_t seconds = std::time(nullptr);
  std::tm local{};
  localtime_r(&seconds, &local);
  return local;
}

}  // namespace

const Value* CallArguments::Find(size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  if (!keywords) return nullptr;
  const auto at = std::ranges::find(*keywords, name, &Member::first);
  return at == keywords->end() ? nullptr : &at->second;
}

const Value* CallArguments::Positional(size_t index) const {
  if (index < positional.size()) return &positional[index];
  if (index == positional.size() && keywords) {
    StopRender("'{}' is no keyword argument of this function",
               keywords->empty() ? "" : keywords->front().first);
  }
  return nullptr;
}

Interpreter::Interpreter(const Program& program, const Limits& limits, std::optional<std::tm> now)
    : program_(program), budget_(limits), now_(now ? *now : LocalNow()) {}

// Namespaces and the scopes that call blocks captured may hold themselves.
Interpreter::~Interpreter() {
  for (const Value::NamespacePtr& ns : namespaces_) std::vector<Member>().swap(ns->members);
  for (const ScopePtr& captured : captured_) {
    for (Scope* scope = captured.get(); scope != nullptr; scope = scope->parent.get()) {
      scope->variables.clear();
    }
  }
  if (root_) root_->variables.clear();
}

std::string Interpreter::Run(const Value& context) {
  if (!context.is(Kind::kDict)) StopRender("the context is no dict");
  if (context.depth() > kMaxValueDepth / 2) {
    StopRender("the conversation is nested deeper than {} levels", kMaxValueDepth / 2);
  }
  budget_ = Budget(WithInput(budget_.limits(), program_, context));
  root_ = std::make_shared<Scope>(nullptr);
  DeclareGlobals(context);
  Buffer out(budget_);
  RunProgram(out);
  return out.Take();
}

void Interpreter::RunProgram(Buffer& out) {
  if (ExecBlock(program_.body, root_, out) == Flow::kNext) return;
  StopRender("break or continue outside of a loop");
}

void Interpreter::DeclareGlobals(const Value& context) {
  std::vector<Member> globals = GlobalFunctions();
  for (const char* spelling : {"true", "True"}) globals.emplace_back(spelling, true);
  for (const char* spelling : {"false", "False"}) globals.emplace_back(spelling, false);
  for (const char* spelling : {"none", "None"}) globals.emplace_back(spelling, nullptr);
  std::unordered_map<std::string_view, Symbol> symbols;
  for (Symbol i = 0; i < program_.names.size(); ++i) symbols.emplace(program_.names[i], i);
  for (const Member& global : globals) {
    // `dict` is not among the reference's globals, so a context may bring its own.
    if (global.first != "dict" && context.dict().Find(global.first) != nullptr) {
      StopRender("the context redefines '{}'", global.first);
    }
  }
  // A context's dict has its own names; only those that the template reads take a place.
  const auto declare = [&](const std::vector<Member>& members) {
    for (const auto& [name, value] : members) {
      const auto at = symbols.find(name);
      if (at != symbols.end()) root_->variables.emplace_back(at->second, value);
    }
  };
  declare(context.dict().members());
  namespace_function_ = std::move(globals.front().second);
  globals.erase(globals.begin());
  declare(globals);
}

ScopePtr Interpreter::MakeScope(const ScopePtr& parent) {
  budget_.Work(sizeof(Scope));
  return std::make_shared<Scope>(parent);
}

Value Interpreter::MakeNamespace(std::vector<Member> members) {
  budget_.CheckList(members.size() + 2);
  auto ns = std::make_shared<Namespace>();
  for (Member& member : members) ns->Set(member.first, std::move(member.second));
  namespaces_.push_back(ns);
  budget_.meter().live_bytes += sizeof(Namespace) + ns->members.size() * sizeof(Member);
  return ns;
}

CallArguments Interpreter::Arguments(const std::vector<Argument>& arguments,
                                     const ScopePtr& scope) {
  CallArguments result;
  for (const Argument& argument : arguments) {
    if (argument.form == Argument::Form::kPositional) {
      result.positional.push_back(Eval(*argument.value, scope));
    } else if (argument.form == Argument::Form::kSpread) {
      const Value items = Eval(*argument.value, scope);
      if (!items.is(Kind::kList)) StopRender("* does not apply to {}", KindName(items));
      budget_.CheckList(items.list().size());
      result.positional.insert(result.positional.end(), items.list().begin(), items.list().end());
    }
  }
  const auto add = [&](const std::string& name, Value value) {
    if (!result.keywords) result.keywords.emplace();
    budget_.Step(1 + result.keywords->size() / 8);
    if (std::ranges::find(*result.keywords, name, &Member::first) != result.keywords->end()) {
      StopRender("two values for the keyword argument '{}'", name);
    }
    result.keywords->emplace_back(name, std::move(value));
  };
  for (const Argument& argument : arguments) {
    if (argument.form == Argument::Form::kKeyword) {
      add(NameOf(argument.name), Eval(*argument.value, scope));
    } else if (argument.form == Argument::Form::kKeywordSpread) {
      const Value members = Eval(*argument.value, scope);
      if (!members.is(Kind::kDict)) StopRender("** does not apply to {}", KindName(members));
      for (const auto& [name, value] : members.dict().members()) add(name, value);
    }
  }
  return result;
}

// --- Expressions ---

class Interpreter::Level {
 public:
  explicit Level(Interpreter& interpreter) : depth_(interpreter.eval_depth_) {
    interpreter.budget_.Step();
    if (depth_ >= interpreter.budget_.limits().eval_depth) {
      StopRender("stopped at its depth limit of {} levels", depth_);
    }
    ++depth_;
  }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  ~Level() { --depth_; }

 private:
  uint32_t& depth_;
};

Value Interpreter::Eval(const Node& node, const ScopePtr& scope) {
  const Level level(*this);
  switch (node.kind) {
    case NodeKind::kLiteral:
      return node.literal;
    case NodeKind::kName:
      return Lookup(node.symbol, *scope);
    case NodeKind::kList:
      return EvalItems(node, scope, false);
    case NodeKind::kTuple:
      return EvalItems(node, scope, true);
    case NodeKind::kDict:
      return EvalDict(node, scope);
    case NodeKind::kMember:
      return AttributeOf(Eval(*node.a, scope), NameOf(node.symbol));
    case NodeKind::kItem: {
      const Value object = Eval(*node.a, scope);
      return ItemOf(object, Eval(*node.b, scope));
    }
    case NodeKind::kSlice:
      return EvalSlice(node, scope);
    case NodeKind::kCall:
      return EvalCall(node, scope);
    case NodeKind::kSign:
      return EvalSign(node, scope);
    case NodeKind::kNot:
      return !Truthy(Eval(*node.a, scope));
    case NodeKind::kChain:
      return EvalChain(node, scope);
    case NodeKind::kFilter: {
      auto result = ApplyFilter(*this, Eval(*node.a, scope), node, scope);
      if (!result) StopRender("'{}' of an empty list", NameOf(node.symbol));
      return *std::move(result);
    }
    case NodeKind::kTest:
      return EvalTest(node, scope);
    case NodeKind::kSelect:
      return Truthy(Eval(*node.b, scope)) ? Eval(*node.a, scope) : Value();
    case NodeKind::kTernary:
      return Eval(Truthy(Eval(*node.b, scope)) ? *node.a : *node.c, scope);
    default:
      StopRender("a statement stands where a value should");
  }
}

Value Interpreter::EvalForSet(const Node& node, const ScopePtr& scope) {
  if (node.kind != NodeKind::kFilter) return Eval(node, scope);
  const Level level(*this);
  return ApplyFilter(*this, Eval(*node.a, scope), node, scope).value_or(Value());
}

Value Interpreter::Lookup(Symbol name, const Scope& scope) const {
  // Every scope of the reference has its own `namespace`.
  const bool own = name == kNamespaceSymbol;
  for (const Scope* at = &scope; at != nullptr; at = own ? nullptr : at->parent.get()) {
    if (const Value* found = at->FindHere(name)) return *found;
  }
  return own ? namespace_function_ : Value();
}

Value Interpreter::EvalItems(const Node& node, const ScopePtr& scope, bool tuple) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const NodePtr& item : node.items) items.push_back(Eval(*item, scope));
  return budget_.List(std::move(items), tuple);
}

Value Interpreter::EvalDict(const Node& node, const ScopePtr& scope) {
  std::vector<Member> members;
  for (size_t i = 0; i < node.items.size(); i += 2) {
    const Value key = Eval(*node.items[i], scope);
    if (!key.is(Kind::kString)) StopRender("the key of a dict is {}", KindName(key));
    members.emplace_back(key.string(), Eval(*node.items[i + 1], scope));
  }
  return budget_.Dictionary(std::move(members));
}

Value Interpreter::EvalChain(const Node& node, const ScopePtr& scope) {
  Value left = Eval(*node.a, scope);
  for (const Link& link : node.links) {
    budget_.Step();
    if (link.op == Op::kAnd || link.op == Op::kOr) {
      if (Truthy(left) == (link.op == Op::kAnd)) left = Eval(*link.right, scope);
    } else {
      left = Apply(link.op, left, Eval(*link.right, scope), budget_);
    }
  }
  return left;
}

Value Interpreter::EvalSign(const Node& node, const ScopePtr& scope) {
  const Value value = Eval(*node.a, scope);
  const double sign = node.op == Op::kSubtract ? -1 : 1;
  if (value.is(Kind::kBool)) return IntegerFrom(sign * (value.boolean() ? 1 : 0));
  if (value.is(Kind::kDouble)) return sign * value.number();
  if (value.is(Kind::kInt)) return IntegerFrom(sign * value.number());
  StopRender("a sign does not apply to {}", KindName(value));
}

Value Interpreter::EvalTest(const Node& node, const ScopePtr& scope) {
  const Value operand = Eval(*node.a, scope);
  const CallArguments arguments = Arguments(node.arguments, scope);
  return ApplyTest(NameOf(node.symbol), operand, arguments.positional, budget_) != node.negated;
}

Value Interpreter::EvalCall(const Node& node, const ScopePtr& scope) {
  CallArguments arguments = Arguments(node.arguments, scope);
  const Value callee = Eval(*node.a, scope);
  if (!callee.is(Kind::kCallable)) StopRender("{} cannot be called", KindName(callee));
  return callee.callable()->Call(*this, std::move(arguments), scope);
}

// As in Python: what a dict can do comes before what is in it.
Value Interpreter::AttributeOf(const Value& object, const std::string& name) {
  if (object.is(Kind::kDict) && IsDictMethod(name)) return BuiltinMember(object, name, budget_);
  return MemberOf(object, name);
}

Value Interpreter::MemberOf(const Value& object, const std::string& name) {
  if (object.is(Kind::kNamespace)) {
    const Value* found = object.ns().Find(name);
    return found == nullptr ? Value() : *found;
  }
  if (object.is(Kind::kDict)) {
    if (const Value* found = object.dict().Find(name)) return *found;
  }
  return BuiltinMember(object, name, budget_);
}

Value Interpreter::ItemOf(const Value& object, const Value& key) {
  if (key.is(Kind::kString)) return MemberOf(object, key.string());
  const bool indexed = object.is(Kind::kList) || object.is(Kind::kString);
  if (!indexed || !key.is(Kind::kInt)) {
    StopRender("{} has no item for {}", KindName(object), KindName(key));
  }
  const bool text = object.is(Kind::kString);
  if (text) budget_.Work(object.string().size());
  const auto size = static_cast<double>(text ? Utf16Length(object.string()) : object.list().size());
  double index = std::isnan(key.number()) ? 0 : key.number();
  if (index < 0) index += size;
  if (index < 0 || index >= size) return {};
  const auto at = static_cast<size_t>(index);
  return text ? budget_.String(Utf16UnitAt(object.string(), at)) : object.list()[at];
}

namespace {

// The bounds of a slice with Python's meaning, in the reference's arithmetic.
std::vector<size_t> SliceIndices(double size, std::optional<double> start,
                                 std::optional<double> stop, double step) {
  std::vector<size_t> indices;
  if (step >= 0) {
    const auto bound = [&](double at) {
      return at < 0 ? std::max(size + at, 0.0) : std::min(at, size);
    };
    const double first = bound(start.value_or(0));
    const double last = bound(stop.value_or(size));
    if (step == 0) return indices;
    for (double i = first; i < last; i += step) indices.push_back(static_cast<size_t>(i));
    return indices;
  }
  const double from = start.value_or(size - 1);
  const double to = stop.value_or(-1);
  const double first = from < 0 ? std::max(size + from, -1.0) : std::min(from, size - 1);
  const double last = !stop || to == -1 ? -1
                      : to < -1         ? std::max(size + to, -1.0)
                                        : std::min(to, size - 1);
  for (double i = first; i > last; i += step) indices.push_back(static_cast<size_t>(i));
  return indices;
}

}  // namespace

Value Interpreter::EvalSlice(const Node& node, const ScopePtr& scope) {
  const Value object = Eval(*node.a, scope);
  if (!object.is(Kind::kList) && !object.is(Kind::kString)) {
    StopRender("{} cannot be sliced", KindName(object));
  }
  std::optional<double> bounds[3];
  for (size_t i = 0; i < node.items.size(); ++i) {
    if (!node.items[i]) continue;
    const Value bound = Eval(*node.items[i], scope);
    if (bound.is(Kind::kUndefined)) continue;
    if (!bound.is(Kind::kInt)) StopRender("the bound of a slice is {}", KindName(bound));
    bounds[i] = bound.number();
  }
  const double step = bounds[2].value_or(1);
  if (object.is(Kind::kList)) {
    budget_.CheckList(object.list().size());
    std::vector<Value> items;
    const auto size = static_cast<double>(object.list().size());
    for (const size_t i : SliceIndices(size, bounds[0], bounds[1], step)) {
      items.push_back(object.list()[i]);
    }
    return budget_.List(std::move(items));
  }
  budget_.CheckList(object.string().size());
  const auto chars = Chars(object.string());
  std::string text;
  for (const size_t i :
       SliceIndices(static_cast<double>(chars.size()), bounds[0], bounds[1], step)) {
    text += chars[i];
  }
  return budget_.String(std::move(text));
}

}  // namespace plimsoll::text::jinja
