#include "grammar/text_set.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace plimsoll::grammar {
namespace {

struct TextNode {
  bool is_end = false;
  std::vector<std::pair<uint8_t, uint32_t>> edges;  // to nodes with smaller numbers
};

using TextNodes = std::vector<TextNode>;

// Nodes by their number, equal where what they hold is.
struct TextNodeHash {
  const TextNodes* nodes;
  size_t operator()(uint32_t id) const {
    const TextNode& node = (*nodes)[id];
    uint64_t hash = node.is_end ? 1 : 2;
    for (const auto& [byte, target] : node.edges) {
      hash = (hash ^ (uint64_t{target} << 8 | byte)) * 0x9E3779B97F4A7C15ULL;
      hash ^= hash >> 29;
    }
    return hash;
  }
};
struct TextNodeEqual {
  const TextNodes* nodes;
  bool operator()(uint32_t a, uint32_t b) const {
    return (*nodes)[a].is_end == (*nodes)[b].is_end && (*nodes)[a].edges == (*nodes)[b].edges;
  }
};

class TextAutomaton {
 public:
  explicit TextAutomaton(size_t max_nodes)
      : max_nodes_(max_nodes), known_(0, TextNodeHash{&nodes_}, TextNodeEqual{&nodes_}) {}
  TextAutomaton(const TextAutomaton&) = delete;
  TextAutomaton& operator=(const TextAutomaton&) = delete;

  // In ascending order, none twice.
  bool Add(std::string_view text) {
    size_t n_shared = 0;
    while (n_shared < text.size() && n_shared < last_.size() && text[n_shared] == last_[n_shared]) {
      ++n_shared;
    }
    if (!FreezeBeyond(n_shared) || text.size() > max_nodes_) return false;
    path_.resize(text.size() + 1);
    path_.back().is_end = true;
    last_ = text;
    return true;
  }

  bool Finish() {
    if (!FreezeBeyond(0)) return false;
    return Freeze(path_[0]).has_value();
  }

  // The last one is the start.
  [[nodiscard]] const TextNodes& nodes() const { return nodes_; }

 private:
  bool FreezeBeyond(size_t depth) {
    while (path_.size() > depth + 1) {
      const auto id = Freeze(path_.back());
      if (!id) return false;
      path_.pop_back();
      path_.back().edges.emplace_back(static_cast<uint8_t>(last_[path_.size() - 1]), *id);
    }
    return true;
  }

  std::optional<uint32_t> Freeze(TextNode& node) {
    nodes_.push_back(std::move(node));
    const auto [place, is_new] = known_.insert(static_cast<uint32_t>(nodes_.size() - 1));
    if (!is_new) nodes_.pop_back();
    if (nodes_.size() > max_nodes_) return std::nullopt;
    return *place;
  }

  size_t max_nodes_;
  std::string last_;
  TextNodes path_ = TextNodes(1);  // of the last text
  TextNodes nodes_;
  std::unordered_set<uint32_t, TextNodeHash, TextNodeEqual> known_;
};

// A node gets a rule of its own where ways part or meet; what lies between is written out.
class TextEmitter {
 public:
  TextEmitter(GrammarBuilder& builder, const TextNodes& nodes)
      : builder_(builder), nodes_(nodes), n_parents_(nodes.size()), rules_(nodes.size()) {
    for (const TextNode& node : nodes) {
      for (const auto& edge : node.edges) ++n_parents_[edge.second];
    }
  }

  void Emit(RuleId root) {
    for (uint32_t id = 0; id < nodes_.size() && !builder_.is_full(); ++id) {
      const bool is_start = id + 1 == nodes_.size();
      if (!is_start && !HasRule(id)) continue;
      rules_[id] = is_start ? root : builder_.Declare();
      if (nodes_[id].is_end) builder_.Add(rules_[id], {});
      std::map<uint32_t, ByteSet> targets;
      for (const auto& [byte, target] : nodes_[id].edges) targets[target].set(byte);
      for (const auto& [target, bytes] : targets) {
        builder_.Add(rules_[id], WayTo(target, bytes));
      }
    }
  }

 private:
  bool IsLast(uint32_t id) const { return nodes_[id].edges.empty(); }
  bool HasRule(uint32_t id) const {
    const TextNode& node = nodes_[id];
    return !IsLast(id) && (node.is_end || node.edges.size() > 1 || n_parents_[id] > 1);
  }

  Sequence WayTo(uint32_t id, const ByteSet& bytes) {
    Sequence way = {builder_.Bytes(bytes)};
    while (!HasRule(id) && !IsLast(id)) {
      const auto& [byte, target] = nodes_[id].edges[0];
      way.push_back(builder_.Byte(static_cast<char>(byte)));
      id = target;
    }
    if (!IsLast(id)) way.push_back(GrammarBuilder::Reference(rules_[id]));
    return way;
  }

  GrammarBuilder& builder_;
  const TextNodes& nodes_;
  std::vector<uint32_t> n_parents_;
  std::vector<RuleId> rules_;
};

}  // namespace

bool AddTexts(GrammarBuilder& builder, RuleId rule, std::vector<std::string> texts,
              size_t max_nodes, Budget& budget) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  TextAutomaton automaton(max_nodes);
  for (const std::string& text : texts) {
    if (budget.IsSpent() || !automaton.Add(text)) return false;
  }
  if (!automaton.Finish()) return false;
  TextEmitter(builder, automaton.nodes()).Emit(rule);
  return !builder.is_full();
}

}  // namespace plimsoll::grammar
