#include "grammar/regex_anchors.h"

#include <utility>

namespace plimsoll::grammar {
namespace {

using RegexKind = RegexNode::Kind;

class AnchorWriter {
 public:
  AnchorWriter(RegexTree& tree, RegexScope scope) : tree_(tree), scope_(scope) {}

  enum class Edge : uint8_t { kFront, kBack };

  // Gives the edge of what `id` says its anything, or takes the anchor there away. The depth is
  // that of the pattern's groups.
  uint32_t Settle(uint32_t id, Edge edge) {
    const RegexKind kind = tree_.nodes[id].kind;
    if (kind == (edge == Edge::kFront ? RegexKind::kStart : RegexKind::kEnd)) {
      return Add({});
    }
    std::vector<uint32_t> children = tree_.nodes[id].children;
    if (kind == RegexKind::kAlternation) {
      for (uint32_t& child : children) child = Settle(child, edge);
      tree_.nodes[id].children = std::move(children);
      return id;
    }
    if (kind == RegexKind::kConcatenation && !children.empty()) {
      uint32_t& child = edge == Edge::kFront ? children.front() : children.back();
      child = Settle(child, edge);
      tree_.nodes[id].children = std::move(children);
      return id;
    }
    if (scope_ == RegexScope::kWhole) return id;
    const uint32_t any = Anything();
    return Add({.children = edge == Edge::kFront ? std::vector{any, id} : std::vector{id, any}});
  }

 private:
  uint32_t Add(RegexNode node) {
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }

  uint32_t Anything() {
    tree_.sets.push_back(CodePoints::All());
    const uint32_t one =
        Add({.kind = RegexKind::kSet, .set = static_cast<uint32_t>(tree_.sets.size() - 1)});
    return Add({.kind = RegexKind::kRepetition, .min = 0, .max = kUnbounded, .children = {one}});
  }

  RegexTree& tree_;
  RegexScope scope_;
};

// The first anchor that can be reached, or null.
const RegexNode* FindAnchor(const RegexTree& tree) {
  std::vector<uint32_t> stack = {tree.root};
  while (!stack.empty()) {
    const RegexNode& node = tree.nodes[stack.back()];
    stack.pop_back();
    if (node.kind == RegexKind::kStart || node.kind == RegexKind::kEnd) return &node;
    stack.insert(stack.end(), node.children.begin(), node.children.end());
  }
  return nullptr;
}

}  // namespace

Result<RegexTree> WriteOutAnchors(RegexTree tree, RegexScope scope) {
  AnchorWriter writer(tree, scope);
  tree.root = writer.Settle(tree.root, AnchorWriter::Edge::kFront);
  tree.root = writer.Settle(tree.root, AnchorWriter::Edge::kBack);
  if (const RegexNode* anchor = FindAnchor(tree)) {
    return Fail(ErrorKind::kUsage,
                "at byte {} of the pattern: `{}` is supported at the {} of the pattern or of its "
                "alternatives only",
                anchor->byte, anchor->kind == RegexKind::kStart ? '^' : '$',
                anchor->kind == RegexKind::kStart ? "front" : "end");
  }
  return tree;
}

}  // namespace plimsoll::grammar
