// Walks a program and writes the prompt.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/budget.h"
#include "text/jinja/namespace.h"
#include "text/jinja/parser.h"

namespace plimsoll::text::jinja {

// Names and their values; a name not found here is looked up in the parent.
class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> parent_in) : parent(std::move(parent_in)) {}

  [[nodiscard]] const Value* FindHere(Symbol name) const {
    for (const auto& [symbol, value] : variables) {
      if (symbol == name) return &value;
    }
    return nullptr;
  }
  void Set(Symbol name, Value value) {
    for (auto& [symbol, old] : variables) {
      if (symbol == name) {
        old = std::move(value);
        return;
      }
    }
    variables.emplace_back(name, std::move(value));
  }

  std::shared_ptr<Scope> parent;
  std::vector<std::pair<Symbol, Value>> variables;
};
using ScopePtr = std::shared_ptr<Scope>;

// What a call passes. Keyword arguments, when there are any, stand for one more argument after the
// positional ones where a function does not look at them.
struct CallArguments {
  std::vector<Value> positional;
  std::optional<std::vector<Member>> keywords;

  // The positional argument, or the keyword's value, or null.
  [[nodiscard]] const Value* Find(size_t index, std::string_view name) const;
  // Null when there is none; throws Stop when the keyword arguments would take the place.
  [[nodiscard]] const Value* Positional(size_t index) const;
};

class Interpreter;

class Callable {
 public:
  virtual ~Callable() = default;
  // `scope` is the caller's: macros see its names.
  virtual Value Call(Interpreter& interpreter, CallArguments arguments,
                     const ScopePtr& scope) const = 0;
};

// How a block ended.
enum class Flow { kNext, kBreak, kContinue };

class Interpreter {
 public:
  // `now` is local time for strftime_now; none takes the clock's.
  Interpreter(const Program& program, const Limits& limits, std::optional<std::tm> now);
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter();

  // Throws Stop.
  [[nodiscard]] std::string Run(const Value& context);

  // For filters, methods and functions.
  [[nodiscard]] Budget& budget() { return budget_; }
  [[nodiscard]] const std::string& NameOf(Symbol symbol) const { return program_.names[symbol]; }
  [[nodiscard]] const std::tm& now() const { return now_; }
  [[nodiscard]] CallArguments Arguments(const std::vector<Argument>& arguments,
                                        const ScopePtr& scope);
  [[nodiscard]] Value MakeNamespace(std::vector<Member> members);
  // Binds arguments to a macro's parameters in `scope` and renders its body.
  [[nodiscard]] Value CallMacro(const Node& macro, CallArguments arguments, const ScopePtr& scope);

 private:
  class Level;

  void DeclareGlobals(const Value& context);
  [[nodiscard]] ScopePtr MakeScope(const ScopePtr& parent);

  // Statements.
  void RunProgram(Buffer& out);
  Flow ExecBlock(const std::vector<NodePtr>& block, const ScopePtr& scope, Buffer& out);
  Flow Exec(const Node& node, const ScopePtr& scope, Buffer& out);
  Flow ExecFor(const Node& node, const ScopePtr& scope, Buffer& out);
  Flow ExecSet(const Node& node, const ScopePtr& scope);
  Flow ExecFilterBlock(const Node& node, const ScopePtr& scope, Buffer& out);
  void ExecCallBlock(const Node& node, const ScopePtr& scope, Buffer& out);
  [[nodiscard]] std::vector<Value> LoopItems(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value LoopVariable(const std::vector<Value>& items, size_t index);
  static void CheckTarget(const Node& target, const Value& item);
  void AssignLoop(const Node& target, const Value& item, Scope& scope);
  void Assign(const Node& target, const Value& value, const ScopePtr& scope);

  // Expressions.
  [[nodiscard]] Value Eval(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value Lookup(Symbol name, const Scope& scope) const;
  [[nodiscard]] Value EvalChain(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value EvalDict(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value EvalItems(const Node& node, const ScopePtr& scope, bool tuple);
  [[nodiscard]] Value EvalCall(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value EvalSign(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value EvalSlice(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value EvalTest(const Node& node, const ScopePtr& scope);
  [[nodiscard]] Value ItemOf(const Value& object, const Value& key);
  [[nodiscard]] Value AttributeOf(const Value& object, const std::string& name);
  [[nodiscard]] Value MemberOf(const Value& object, const std::string& name);
  // Also of `first` and `last` of an empty list, which only `set` takes.
  [[nodiscard]] Value EvalForSet(const Node& node, const ScopePtr& scope);

  const Program& program_;
  Budget budget_;
  std::tm now_;
  ScopePtr root_;
  Value namespace_function_;
  uint32_t eval_depth_ = 0;
  uint32_t call_depth_ = 0;
  // What could hold itself through a namespace: cleared at the end.
  std::vector<Value::NamespacePtr> namespaces_;
  std::vector<ScopePtr> captured_;
};

}  // namespace plimsoll::text::jinja
