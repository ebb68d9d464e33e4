#include "grammar/regex_tree.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "grammar/regex_anchors.h"
#include "grammar/regex_classes.h"
#include "text/utf8.h"

namespace plimsoll::grammar {
namespace {

using RegexKind = RegexNode::Kind;

class RegexParser {
 public:
  RegexParser(std::string_view pattern, const GrammarLimits& limits)
      : in_(pattern), limits_(limits) {}

  Result<RegexTree> Parse() {
    auto root = Alternation(0);
    if (!root) return Forward(root);
    if (!in_.IsAtEnd()) return in_.Bad("this `)` closes no group");
    tree_.root = *root;
    return std::move(tree_);
  }

 private:
  struct Count {
    uint32_t min;
    uint32_t max;
  };

  static constexpr size_t kMaxRanges = 50'000;

  [[nodiscard]] Result<> CheckSize() const {
    if (tree_.nodes.size() <= limits_.max_symbols / 2 && n_ranges_ <= kMaxRanges) return {};
    return Fail(ErrorKind::kDoesNotFit,
                "the pattern has more than {} parts or its classes more than {} ranges",
                limits_.max_symbols / 2, kMaxRanges);
  }

  uint32_t Add(RegexNode node) {
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }

  uint32_t AddSet(CodePoints set, uint32_t byte) {
    n_ranges_ += set.ranges().size();
    tree_.sets.push_back(std::move(set));
    return Add({.kind = RegexKind::kSet,
                .byte = byte,
                .set = static_cast<uint32_t>(tree_.sets.size() - 1)});
  }

  Result<uint32_t> Alternation(uint32_t depth) {
    const uint32_t byte = in_.byte();
    std::vector<uint32_t> branches;
    do {
      auto branch = Concatenation(depth);
      if (!branch) return branch;
      branches.push_back(*branch);
    } while (in_.Accept('|'));
    if (branches.size() == 1) return branches[0];
    return Add({.kind = RegexKind::kAlternation, .byte = byte, .children = std::move(branches)});
  }

  Result<uint32_t> Concatenation(uint32_t depth) {
    auto within = CheckSize();
    if (!within) return tl::unexpected(within.error());
    const uint32_t byte = in_.byte();
    std::vector<uint32_t> parts;
    while (!in_.IsAtEnd() && in_.Peek() != '|' && in_.Peek() != ')') {
      auto part = Term(depth);
      if (!part) return part;
      parts.push_back(*part);
    }
    if (parts.size() == 1) return parts[0];
    return Add({.byte = byte, .children = std::move(parts)});
  }

  // An atom and how often.
  Result<uint32_t> Term(uint32_t depth) {
    auto within = CheckSize();
    if (!within) return tl::unexpected(within.error());
    const uint32_t byte = in_.byte();
    auto atom = Atom(depth);
    if (!atom) return atom;
    const auto count = ReadCount();
    if (!count) return tl::unexpected(count.error());
    if (!*count) return atom;
    const RegexKind kind = tree_.nodes[*atom].kind;
    if (kind == RegexKind::kStart || kind == RegexKind::kEnd) {
      return in_.BadAt(byte, "`^` and `$` cannot be repeated");
    }
    in_.Accept('?');  // as few as possible: the same texts
    if (!in_.IsAtEnd() && (in_.Peek() == '*' || in_.Peek() == '+' || in_.Peek() == '?')) {
      return in_.Bad("there is nothing to repeat in front of this");
    }
    return Add({.kind = RegexKind::kRepetition,
                .byte = byte,
                .min = (*count)->min,
                .max = (*count)->max,
                .children = {*atom}});
  }

  Result<std::optional<Count>> ReadCount() {
    if (in_.Accept('*')) return Count{0, kUnbounded};
    if (in_.Accept('+')) return Count{1, kUnbounded};
    if (in_.Accept('?')) return Count{0, 1};
    if (in_.IsAtEnd() || in_.Peek() != '{') return std::nullopt;
    const uint32_t byte = in_.byte();
    in_.Accept('{');
    const auto min = in_.Number();
    std::optional<uint32_t> max = min;
    if (min && in_.Accept(',')) {
      max = in_.IsAtEnd() || in_.Peek() == '}' ? std::optional(kUnbounded) : in_.Number();
    }
    if (!min || !max || !in_.Accept('}')) {
      return in_.BadAt(byte,
                       "this `{{` starts no count like {{2}}, {{2,}} or {{2,5}} (a brace is \\{{)");
    }
    if (*min > *max) return in_.BadAt(byte, "a count whose second number is the smaller one");
    return Count{*min, *max};
  }

  Result<uint32_t> Atom(uint32_t depth) {
    const uint32_t byte = in_.byte();
    switch (in_.Peek()) {
      case '^':
        in_.Accept('^');
        return Add({.kind = RegexKind::kStart, .byte = byte});
      case '$':
        in_.Accept('$');
        return Add({.kind = RegexKind::kEnd, .byte = byte});
      case '(':
        return Group(depth);
      case '*':
      case '+':
      case '?':
        return in_.Bad("there is nothing to repeat in front of this");
      case '{':
      case '}':
      case ']':
        return in_.Bad("write a `\\` in front of a brace or bracket that stands for itself");
      default:
        break;
    }
    auto set = ReadCharacters(in_);
    if (!set) return Forward(set);
    return AddSet(std::move(*set), byte);
  }

  Result<uint32_t> Group(uint32_t depth) {
    const uint32_t byte = in_.byte();
    if (depth >= limits_.max_depth) {
      return Fail(ErrorKind::kDoesNotFit,
                  "at byte {} of the pattern: groups are nested deeper than {}", byte,
                  limits_.max_depth);
    }
    in_.Accept('(');
    if (in_.Accept('?')) {
      auto kind = GroupKind(byte);
      if (!kind) return tl::unexpected(kind.error());
    }
    auto inner = Alternation(depth + 1);
    if (!inner) return inner;
    if (!in_.Accept(')')) return in_.BadAt(byte, "this `(` is not closed");
    // A node of its own, so that a count behind it holds for the whole.
    return Add({.byte = byte, .children = {*inner}});
  }

  // Behind `(?`.
  Result<> GroupKind(uint32_t byte) {
    if (in_.Accept(':')) return {};
    if (in_.Accept('=') || in_.Accept('!')) {
      return in_.BadAt(byte, "lookahead, (?= and (?!, is not supported");
    }
    if (!in_.Accept('<')) return in_.BadAt(byte, "this kind of group is not supported");
    if (in_.Accept('=') || in_.Accept('!')) {
      return in_.BadAt(byte, "lookbehind, (?<= and (?<!, is not supported");
    }
    while (!in_.IsAtEnd() && in_.Peek() != '>') in_.Take();
    if (!in_.Accept('>')) return in_.BadAt(byte, "the name of this group does not end");
    return {};
  }

  PatternReader in_;
  GrammarLimits limits_;
  RegexTree tree_;
  size_t n_ranges_ = 0;
};

uint32_t Clamped(uint64_t count) {
  return count < kUnbounded ? static_cast<uint32_t>(count) : kUnbounded;
}

// The depth is that of the pattern's groups.
LengthRange LengthsAt(const RegexTree& tree, uint32_t id) {
  const RegexNode& node = tree.nodes[id];
  if (node.kind == RegexKind::kSet) return {1, 1};
  if (node.kind == RegexKind::kRepetition) {
    const LengthRange once = LengthsAt(tree, node.children[0]);
    return {Clamped(uint64_t{once.min} * node.min), Clamped(uint64_t{once.max} * node.max)};
  }
  const bool is_choice = node.kind == RegexKind::kAlternation;
  LengthRange all = {is_choice ? kUnbounded : 0, 0};
  for (const uint32_t child : node.children) {
    const LengthRange one = LengthsAt(tree, child);
    all.min = is_choice ? std::min(all.min, one.min) : Clamped(uint64_t{all.min} + one.min);
    all.max = is_choice ? std::max(all.max, one.max) : Clamped(uint64_t{all.max} + one.max);
  }
  return all;
}

}  // namespace

LengthRange LengthsOf(const RegexTree& tree) { return LengthsAt(tree, tree.root); }

Result<RegexTree> ParseRegex(std::string_view pattern, RegexScope scope,
                             const GrammarLimits& limits) {
  if (!text::IsValidUtf8(pattern)) return Fail(ErrorKind::kUsage, "the pattern is not UTF-8");
  if (pattern.size() >= kUnbounded) return Fail(ErrorKind::kDoesNotFit, "the pattern is too long");
  auto tree = RegexParser(pattern, limits).Parse();
  if (!tree) return tree;
  return WriteOutAnchors(std::move(*tree), scope);
}

}  // namespace plimsoll::grammar
