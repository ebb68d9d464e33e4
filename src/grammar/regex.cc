#include "grammar/regex.h"

#include <utility>

namespace plimsoll::grammar {
namespace {

class RegexEmitter {
 public:
  RegexEmitter(GrammarBuilder& builder, Speller& speller, const RegexTree& tree)
      : builder_(builder), speller_(speller), tree_(tree) {}

  // The depth is that of the pattern's groups.
  Symbol Emit(uint32_t id) {
    const RegexNode& node = tree_.nodes[id];
    switch (node.kind) {
      case RegexNode::Kind::kSet:
        return speller_.OneOf(tree_.sets[node.set]);
      case RegexNode::Kind::kRepetition:
        return builder_.Repeat(Emit(node.children[0]), node.min, node.max);
      case RegexNode::Kind::kAlternation:
        return Alternation(node);
      default:
        return builder_.Concatenation(Parts(node));
    }
  }

 private:
  Sequence Parts(const RegexNode& node) {
    Sequence parts;
    for (const uint32_t child : node.children) {
      if (builder_.is_full()) break;
      parts.push_back(Emit(child));
    }
    return parts;
  }

  Symbol Alternation(const RegexNode& node) {
    std::vector<Sequence> branches;
    for (const uint32_t child : node.children) {
      if (builder_.is_full()) break;
      const RegexNode& branch = tree_.nodes[child];
      const bool is_sequence = branch.kind == RegexNode::Kind::kConcatenation;
      branches.push_back(is_sequence ? Parts(branch) : Sequence{Emit(child)});
    }
    return builder_.Alternatives(std::move(branches));
  }

  GrammarBuilder& builder_;
  Speller& speller_;
  const RegexTree& tree_;
};

}  // namespace

Symbol EmitRegex(GrammarBuilder& builder, Speller& speller, const RegexTree& tree) {
  return RegexEmitter(builder, speller, tree).Emit(tree.root);
}

Result<Symbol> AddRegex(GrammarBuilder& builder, std::string_view pattern,
                        const GrammarLimits& limits) {
  const auto tree = ParseRegex(pattern, RegexScope::kWhole, limits);
  if (!tree) return tl::unexpected(tree.error());
  Speller speller(builder, Speller::Form::kPlain);
  const Symbol symbol = EmitRegex(builder, speller, *tree);
  if (builder.is_full()) {
    return Fail(ErrorKind::kDoesNotFit, "the pattern needs more than {} grammar symbols",
                limits.max_symbols);
  }
  return symbol;
}

Result<Grammar> CompileRegex(std::string_view pattern, const GrammarLimits& limits) {
  GrammarBuilder builder(limits);
  const auto symbol = AddRegex(builder, pattern, limits);
  if (!symbol) return tl::unexpected(symbol.error());
  const RuleId root = builder.Declare();
  builder.Add(root, {*symbol});
  return builder.Finish(root);
}

}  // namespace plimsoll::grammar
