// Which macros see `kwargs` and `varargs`: those that read the name before anything declares it, in
// the order in which Jinja visits a template.
#include "text/jinja/parser.h"

namespace plimsoll::text::jinja {

namespace {

class Visitor {
 public:
  void Declare(const std::vector<Argument>& parameters) {
    for (const Argument& parameter : parameters) Declare(parameter.name);
  }

  void Visit(const std::vector<NodePtr>& nodes) {
    for (const NodePtr& node : nodes) Visit(node.get());
  }

  void Visit(const Node* node) {
    if (node == nullptr) return;
    switch (node->kind) {
      case NodeKind::kName:
        if (node->symbol == kKwargsSymbol) reads_kwargs = reads_kwargs || !declares_kwargs_;
        if (node->symbol == kVarargsSymbol) reads_varargs = reads_varargs || !declares_varargs_;
        return;
      case NodeKind::kFor:
        return VisitFor(*node);
      case NodeKind::kSet:
        DeclareTarget(*node->a);
        Visit(node->b.get());
        return Visit(node->body);
      case NodeKind::kMacro:
        Declare(node->parameters);
        Visit(node->parameters);
        return Visit(node->body);
      case NodeKind::kCallBlock:
        Visit(node->a.get());
        Visit(node->arguments);
        Declare(node->parameters);
        Visit(node->parameters);
        return Visit(node->body);
      case NodeKind::kFilterBlock:
        Visit(node->body);
        return Visit(node->a.get());
      case NodeKind::kSelect:
      case NodeKind::kTernary:
        Visit(node->b.get());
        Visit(node->a.get());
        return Visit(node->c.get());
      default:
        return VisitChildren(*node);
    }
  }

  bool reads_kwargs = false;
  bool reads_varargs = false;

 private:
  void Declare(Symbol name) {
    declares_kwargs_ = declares_kwargs_ || name == kKwargsSymbol;
    declares_varargs_ = declares_varargs_ || name == kVarargsSymbol;
  }

  void DeclareTarget(const Node& target) {
    if (target.kind == NodeKind::kName) Declare(target.symbol);
    if (target.kind != NodeKind::kTuple) return;
    for (const NodePtr& item : target.items) DeclareTarget(*item);
  }

  void VisitFor(const Node& node) {
    DeclareTarget(*node.a);
    const bool filtered = node.b->kind == NodeKind::kSelect;
    Visit(filtered ? node.b->a.get() : node.b.get());
    Visit(node.body);
    Visit(node.otherwise);
    if (filtered) Visit(node.b->b.get());
  }

  void Visit(const std::vector<Argument>& arguments) {
    for (const Argument& argument : arguments) Visit(argument.value.get());
  }

  void VisitChildren(const Node& node) {
    Visit(node.a.get());
    Visit(node.b.get());
    Visit(node.c.get());
    Visit(node.items);
    for (const Link& link : node.links) Visit(link.right.get());
    Visit(node.arguments);
    Visit(node.body);
    Visit(node.otherwise);
  }

  bool declares_kwargs_ = false;
  bool declares_varargs_ = false;
};

}  // namespace

void FindSpecialParameters(Node& macro) {
  Visitor visitor;
  visitor.Declare(macro.parameters);
  visitor.Visit(macro.body);
  macro.takes_kwargs = visitor.reads_kwargs;
  macro.takes_varargs = visitor.reads_varargs;
}

}  // namespace plimsoll::text::jinja
