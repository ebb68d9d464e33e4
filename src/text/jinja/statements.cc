// Statements: blocks, loops, assignments, macros.
#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

class Macro : public Callable {
 public:
  explicit Macro(const Node& node) : node_(node) {}
  Value Call(Interpreter& interpreter, CallArguments arguments,
             const ScopePtr& scope) const override {
    return interpreter.CallMacro(node_, std::move(arguments), scope);
  }

 private:
  const Node& node_;
};

// The body of a call block: a macro that sees the names where the block stands.
class Caller : public Callable {
 public:
  Caller(const Node& node, ScopePtr scope) : node_(node), scope_(std::move(scope)) {}
  Value Call(Interpreter& interpreter, CallArguments arguments,
             const ScopePtr& /*scope*/) const override {
    return interpreter.CallMacro(node_, std::move(arguments), scope_);
  }

 private:
  const Node& node_;
  ScopePtr scope_;
};

}  // namespace

Flow Interpreter::ExecBlock(const std::vector<NodePtr>& block, const ScopePtr& scope, Buffer& out) {
  for (const NodePtr& node : block) {
    const Flow flow = Exec(*node, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Flow Interpreter::Exec(const Node& node, const ScopePtr& scope, Buffer& out) {
  budget_.Step();
  if (eval_depth_ >= budget_.limits().eval_depth) {
    StopRender("stopped at its depth limit of {} levels", eval_depth_);
  }
  ++eval_depth_;
  Flow flow = Flow::kNext;
  switch (node.kind) {
    case NodeKind::kText:
      out.Append(node.literal.string());
      break;
    case NodeKind::kOutput:
      Print(Eval(*node.a, scope), out);
      break;
    case NodeKind::kIf:
      flow = ExecBlock(Truthy(Eval(*node.a, scope)) ? node.body : node.otherwise, scope, out);
      break;
    case NodeKind::kFor:
      flow = ExecFor(node, scope, out);
      break;
    case NodeKind::kSet:
      flow = ExecSet(node, scope);
      break;
    case NodeKind::kMacro:
      scope->Set(node.symbol, Value::CallablePtr(std::make_shared<const Macro>(node)));
      break;
    case NodeKind::kCallBlock:
      ExecCallBlock(node, scope, out);
      break;
    case NodeKind::kFilterBlock:
      flow = ExecFilterBlock(node, scope, out);
      break;
    case NodeKind::kBreak:
      flow = Flow::kBreak;
      break;
    case NodeKind::kContinue:
      flow = Flow::kContinue;
      break;
    default:
      StopRender("a value stands where a statement should");
  }
  --eval_depth_;
  return flow;
}

// The items that the loop visits, after its `if`.
std::vector<Value> Interpreter::LoopItems(const Node& node, const ScopePtr& scope) {
  const bool filtered = node.b->kind == NodeKind::kSelect;
  const Value iterable = Eval(filtered ? *node.b->a : *node.b, scope);
  std::vector<Value> items;
  if (iterable.is(Kind::kList)) {
    budget_.CheckList(iterable.list().size());
    items = iterable.list();
  } else if (iterable.is(Kind::kDict)) {
    budget_.CheckList(iterable.dict().size());
    for (const auto& [key, value] : iterable.dict().members()) items.emplace_back(key);
  } else if (iterable.is(Kind::kString)) {
    budget_.CheckList(iterable.string().size());
    for (const std::string_view c : Chars(iterable.string())) {
      items.push_back(budget_.String(std::string(c)));
    }
  } else if (!iterable.is(Kind::kUndefined)) {
    StopRender("for: {} cannot be iterated", KindName(iterable));
  }
  for (const Value& item : items) CheckTarget(*node.a, item);
  if (!filtered) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const ScopePtr inner = MakeScope(scope);
    AssignLoop(*node.a, item, *inner);
    if (Truthy(Eval(*node.b->b, inner))) kept.push_back(std::move(item));
  }
  return kept;
}

void Interpreter::CheckTarget(const Node& target, const Value& item) {
  if (target.kind == NodeKind::kName) return;
  if (!item.is(Kind::kList)) {
    StopRender("for: {} cannot be unpacked", KindName(item));
  }
  if (item.list().size() != target.items.size()) {
    StopRender("for: {} items to unpack into {} names", item.list().size(), target.items.size());
  }
}

void Interpreter::AssignLoop(const Node& target, const Value& item, Scope& scope) {
  if (target.kind == NodeKind::kName) return scope.Set(target.symbol, item);
  for (size_t i = 0; i < target.items.size(); ++i) {
    if (target.items[i]->kind != NodeKind::kName) StopRender("for: unpacking takes names only");
    scope.Set(target.items[i]->symbol, item.list()[i]);
  }
}

Value Interpreter::LoopVariable(const std::vector<Value>& items, size_t index) {
  const size_t count = items.size();
  return budget_.Dictionary({
      {"index", index + 1},
      {"index0", index},
      {"revindex", count - index},
      {"revindex0", count - index - 1},
      {"first", index == 0},
      {"last", index + 1 == count},
      {"length", count},
      {"previtem", index > 0 ? items[index - 1] : Value()},
      {"nextitem", index + 1 < count ? items[index + 1] : Value()},
  });
}

// A round that break or continue ends does not count as a round for `else`.
Flow Interpreter::ExecFor(const Node& node, const ScopePtr& outer, Buffer& out) {
  const ScopePtr scope = MakeScope(outer);
  const std::vector<Value> items = LoopItems(node, scope);
  bool completed = false;
  for (size_t i = 0; i < items.size(); ++i) {
    scope->Set(kLoopSymbol, LoopVariable(items, i));
    AssignLoop(*node.a, items[i], *scope);
    const Flow flow = ExecBlock(node.body, scope, out);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNext) completed = true;
  }
  return completed ? Flow::kNext : ExecBlock(node.otherwise, scope, out);
}

Flow Interpreter::ExecSet(const Node& node, const ScopePtr& scope) {
  if (node.b) {
    Assign(*node.a, EvalForSet(*node.b, scope), scope);
    return Flow::kNext;
  }
  Buffer text(budget_);
  const Flow flow = ExecBlock(node.body, scope, text);
  if (flow != Flow::kNext) return flow;
  Assign(*node.a, text.TakeValue(), scope);
  return Flow::kNext;
}

void Interpreter::Assign(const Node& target, const Value& value, const ScopePtr& scope) {
  budget_.Step(1 + scope->variables.size() / 16);
  if (target.kind == NodeKind::kName) return scope->Set(target.symbol, value);
  if (target.kind == NodeKind::kTuple) {
    if (!value.is(Kind::kList)) StopRender("set: {} cannot be unpacked", KindName(value));
    if (value.list().size() != target.items.size()) {
      StopRender("set: {} items to unpack into {} names", value.list().size(), target.items.size());
    }
    for (size_t i = 0; i < target.items.size(); ++i) {
      if (target.items[i]->kind != NodeKind::kName) StopRender("set: unpacking takes names only");
      scope->Set(target.items[i]->symbol, value.list()[i]);
    }
    return;
  }
  const bool computed = target.kind == NodeKind::kItem;
  if (target.kind != NodeKind::kMember && !computed) StopRender("set: not a name");
  const Value object = Eval(*target.a, scope);
  if (!object.is(Kind::kNamespace)) {
    StopRender("set: {} has no attributes to set", KindName(object));
  }
  // As in the reference, ns[name] sets the attribute `name`.
  if (computed && target.b->kind != NodeKind::kName)
    StopRender("set: not the name of an attribute");
  const size_t before = object.ns().members.size();
  budget_.Step(1 + before / 16);
  object.ns().Set(NameOf(computed ? target.b->symbol : target.symbol), value);
  budget_.meter().live_bytes += (object.ns().members.size() - before) * sizeof(Member);
}

Flow Interpreter::ExecFilterBlock(const Node& node, const ScopePtr& scope, Buffer& out) {
  Buffer text(budget_);
  const Flow flow = ExecBlock(node.body, scope, text);
  if (flow != Flow::kNext) return flow;
  const auto filtered = ApplyFilter(*this, text.TakeValue(), *node.a, scope);
  if (filtered) Print(*filtered, out);
  return Flow::kNext;
}

void Interpreter::ExecCallBlock(const Node& node, const ScopePtr& scope, Buffer& out) {
  CallArguments arguments = Arguments(node.arguments, scope);
  if (!arguments.keywords) arguments.keywords.emplace();
  const Value callee = Eval(*node.a, scope);
  if (!callee.is(Kind::kCallable)) StopRender("{} cannot be called", KindName(callee));
  const ScopePtr inner = MakeScope(scope);
  budget_.CheckList(4);
  captured_.push_back(scope);
  inner->Set(kCallerSymbol, Value::CallablePtr(std::make_shared<const Caller>(node, scope)));
  Print(callee.callable()->Call(*this, std::move(arguments), inner), out);
}

Value Interpreter::CallMacro(const Node& macro, CallArguments arguments, const ScopePtr& outer) {
  if (call_depth_ >= budget_.limits().call_depth) {
    StopRender("stopped at its depth limit of {} macro calls", call_depth_);
  }
  const ScopePtr scope = MakeScope(outer);
  std::vector<Member> keywords = arguments.keywords.value_or(std::vector<Member>());
  std::vector<const Argument*> defaults;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Argument& parameter = macro.parameters[i];
    const auto keyword = std::ranges::find(keywords, NameOf(parameter.name), &Member::first);
    Value value;
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else if (keyword != keywords.end()) {
      value = keyword->second;
      keywords.erase(keyword);
    } else if (parameter.value) {
      defaults.push_back(&parameter);
    }
    scope->Set(parameter.name, std::move(value));
  }
  std::vector<Value> surplus;
  if (arguments.positional.size() > macro.parameters.size()) {
    surplus.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(macro.parameters.size()),
                   arguments.positional.end());
  }
  if (!macro.takes_kwargs && !keywords.empty()) {
    StopRender("a macro takes no keyword argument '{}'", keywords.front().first);
  }
  if (!macro.takes_varargs && !surplus.empty()) {
    StopRender("a macro takes at most {} arguments", macro.parameters.size());
  }
  if (macro.takes_kwargs) scope->Set(kKwargsSymbol, budget_.Dictionary(std::move(keywords)));
  if (macro.takes_varargs) scope->Set(kVarargsSymbol, budget_.List(std::move(surplus)));
  for (const Argument* parameter : defaults) {
    scope->Set(parameter->name, Eval(*parameter->value, scope));
  }
  ++call_depth_;
  Buffer out(budget_);
  const Flow flow = ExecBlock(macro.body, scope, out);
  if (flow != Flow::kNext) StopRender("break and continue do not leave a macro");
  --call_depth_;
  return out.TakeValue();
}

}  // namespace plimsoll::text::jinja
