#include "grammar/simplify.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

namespace plimsoll::grammar {
namespace {

bool IsReference(const Symbol& symbol, RuleId rule) {
  return symbol.kind == Symbol::Kind::kRule && symbol.index == rule && symbol.min == 1 &&
         symbol.max == 1;
}

Symbol ReferenceTo(RuleId rule) { return {.kind = Symbol::Kind::kRule, .index = rule}; }

RuleId NewRule(Grammar& grammar, std::vector<Sequence> alternatives) {
  grammar.rules.push_back({std::move(alternatives)});
  return static_cast<RuleId>(grammar.rules.size() - 1);
}

// What is left of an alternative.
struct Rest {
  const Sequence* sequence;
  size_t begin;

  [[nodiscard]] bool empty() const { return begin >= sequence->size(); }
  [[nodiscard]] const Symbol& front() const { return (*sequence)[begin]; }
};

size_t CommonLength(const std::vector<Rest>& rests) {
  const Rest& first = rests.front();
  size_t n = first.sequence->size() - first.begin;
  for (const Rest& rest : rests) {
    n = std::min(n, rest.sequence->size() - rest.begin);
    for (size_t i = 0; i < n; ++i) {
      if ((*rest.sequence)[rest.begin + i] != (*first.sequence)[first.begin + i]) {
        n = i;
      }
    }
  }
  return n;
}

// One group for each symbol that rests begin with; those that are empty say the same.
std::vector<std::vector<Rest>> GroupByFirst(const std::vector<Rest>& rests, bool& has_empty) {
  using Key = std::tuple<Symbol::Kind, uint32_t, uint32_t, uint32_t>;
  std::map<Key, size_t> place;
  std::vector<std::vector<Rest>> groups;
  for (const Rest& rest : rests) {
    if (rest.empty()) {
      has_empty = true;
      continue;
    }
    const Symbol& symbol = rest.front();
    const auto [at, is_new] =
        place.try_emplace({symbol.kind, symbol.index, symbol.min, symbol.max}, groups.size());
    if (is_new) {
      groups.emplace_back();
    }
    groups[at->second].push_back(rest);
  }
  return groups;
}

// A symbol without which its sequence cannot be said.
bool IsNeeded(const Symbol& symbol, const std::vector<bool>& nullable) {
  return symbol.min > 0 && !(symbol.kind == Symbol::Kind::kRule && nullable[symbol.index]);
}

// Entering it leaves a frame behind.
bool LeavesFrame(const Sequence& sequence, size_t i) {
  return i + 1 < sequence.size() || sequence[i].max > 1;
}

struct Use {  // of a rule, in an alternative
  RuleId rule;
  size_t alternative;
  bool leaves_frame;
};

}  // namespace

void RemoveDirectLeftRecursion(Grammar& grammar) {
  const auto n_rules = static_cast<RuleId>(grammar.rules.size());
  for (RuleId rule = 0; rule < n_rules; ++rule) {
    const auto begins_with_itself = [&](const Sequence& sequence) {
      return !sequence.empty() && IsReference(sequence.front(), rule);
    };
    auto& alternatives = grammar.rules[rule].alternatives;
    if (std::ranges::none_of(alternatives, begins_with_itself)) {
      continue;
    }
    std::vector<Sequence> first;
    std::vector<Sequence> more;
    for (Sequence& sequence : alternatives) {
      if (!begins_with_itself(sequence)) {
        first.push_back(std::move(sequence));
      } else if (sequence.size() > 1) {  // A = A says nothing of A
        more.emplace_back(sequence.begin() + 1, sequence.end());
      }
    }
    if (more.empty()) {
      alternatives = std::move(first);
      continue;
    }
    const Symbol base = ReferenceTo(NewRule(grammar, std::move(first)));
    Symbol rest = ReferenceTo(NewRule(grammar, std::move(more)));
    rest.min = 0;
    rest.max = kUnbounded;
    grammar.rules[rule].alternatives = {{base, rest}};
  }
}

void FactorAlternatives(Grammar& grammar) {
  const auto n_rules = static_cast<RuleId>(grammar.rules.size());
  for (RuleId rule = 0; rule < n_rules; ++rule) {
    if (grammar.rules[rule].alternatives.size() < 2) {
      continue;
    }
    const std::vector<Sequence> source = std::move(grammar.rules[rule].alternatives);
    std::vector<Rest> all;
    for (const Sequence& sequence : source) {
      all.push_back({&sequence, 0});
    }
    std::vector<std::pair<RuleId, std::vector<Rest>>> open;
    open.emplace_back(rule, std::move(all));
    while (!open.empty()) {
      const auto [target, rests] = std::move(open.back());
      open.pop_back();
      std::vector<Sequence> alternatives;
      bool has_empty = false;
      for (std::vector<Rest>& group : GroupByFirst(rests, has_empty)) {
        const size_t n = CommonLength(group);
        const auto begin =
            group.front().sequence->begin() + static_cast<ptrdiff_t>(group.front().begin);
        Sequence sequence(begin, begin + static_cast<ptrdiff_t>(n));
        if (group.size() > 1) {
          for (Rest& rest : group) {
            rest.begin += n;
          }
          const RuleId behind = NewRule(grammar, {});
          sequence.push_back(ReferenceTo(behind));
          open.emplace_back(behind, std::move(group));
        }
        alternatives.push_back(std::move(sequence));
      }
      if (has_empty) {
        alternatives.emplace_back();
      }
      grammar.rules[target].alternatives = std::move(alternatives);
    }
  }
}

std::vector<bool> FindNullable(const Grammar& grammar) {
  const size_t n_rules = grammar.rules.size();
  std::vector<bool> nullable(n_rules, false);
  std::vector<std::vector<Use>> uses(n_rules);
  std::vector<std::vector<uint32_t>> n_missing(n_rules);
  std::vector<RuleId> found;
  const auto find = [&](RuleId rule) {
    if (!nullable[rule]) {
      nullable[rule] = true;
      found.push_back(rule);
    }
  };
  for (RuleId rule = 0; rule < n_rules; ++rule) {
    const auto& alternatives = grammar.rules[rule].alternatives;
    for (size_t i = 0; i < alternatives.size(); ++i) {
      uint32_t n = 0;
      for (const Symbol& symbol : alternatives[i]) {
        n += symbol.min > 0 ? 1 : 0;
        if (symbol.min > 0 && symbol.kind == Symbol::Kind::kRule) {
          uses[symbol.index].push_back({rule, i, false});
        }
      }
      n_missing[rule].push_back(n);
      if (n == 0) {
        find(rule);
      }
    }
  }
  while (!found.empty()) {
    const RuleId rule = found.back();
    found.pop_back();
    for (const Use& use : uses[rule]) {
      if (--n_missing[use.rule][use.alternative] == 0) {
        find(use.rule);
      }
    }
  }
  return nullable;
}

Heights FindHeights(const Grammar& grammar, const std::vector<bool>& nullable) {
  const size_t n_rules = grammar.rules.size();
  Heights heights{std::vector<uint32_t>(n_rules, kCannotBeSaid), {}};
  heights.alternatives.resize(n_rules);
  std::vector<std::vector<Use>> uses(n_rules);
  std::vector<std::vector<uint32_t>> n_missing(n_rules);
  std::vector<std::vector<uint32_t>> so_far(n_rules);
  using Reached = std::pair<uint32_t, RuleId>;  // a height at which the rule can be said
  std::priority_queue<Reached, std::vector<Reached>, std::greater<>> reached;
  const auto reach = [&](RuleId rule, size_t alternative) {
    const uint32_t height = so_far[rule][alternative];
    heights.alternatives[rule][alternative] = height;
    if (heights.rules[rule] == kCannotBeSaid) {
      reached.emplace(height, rule);
    }
  };
  for (RuleId rule = 0; rule < n_rules; ++rule) {
    const auto& alternatives = grammar.rules[rule].alternatives;
    n_missing[rule].resize(alternatives.size());
    so_far[rule].resize(alternatives.size());
    heights.alternatives[rule].assign(alternatives.size(), kCannotBeSaid);
    for (size_t i = 0; i < alternatives.size(); ++i) {
      for (size_t k = 0; k < alternatives[i].size(); ++k) {
        const Symbol& symbol = alternatives[i][k];
        if (!IsNeeded(symbol, nullable)) {
          continue;
        }
        if (symbol.kind == Symbol::Kind::kRule) {
          ++n_missing[rule][i];
          uses[symbol.index].push_back({rule, i, LeavesFrame(alternatives[i], k)});
        } else if (grammar.byte_sets[symbol.index].none()) {
          ++n_missing[rule][i];  // for ever
        }
      }
      if (n_missing[rule][i] == 0) {
        reach(rule, i);
      }
    }
  }
  while (!reached.empty()) {
    const auto [height, rule] = reached.top();
    reached.pop();
    if (heights.rules[rule] != kCannotBeSaid) {
      continue;
    }
    heights.rules[rule] = height;
    for (const Use& use : uses[rule]) {
      uint32_t& tallest = so_far[use.rule][use.alternative];
      tallest = std::max(tallest, height + (use.leaves_frame ? 1 : 0));
      if (--n_missing[use.rule][use.alternative] == 0) {
        reach(use.rule, use.alternative);
      }
    }
  }
  return heights;
}

// The circles are the strongly connected components of "begins with"; Tarjan's algorithm, with a
// stack of its own.
Result<> CheckLeftRecursion(const Grammar& grammar, const std::vector<bool>& nullable) {
  struct Edge {
    RuleId to;
    bool leaves_frame;
  };
  const size_t n_rules = grammar.rules.size();
  std::vector<std::vector<Edge>> edges(n_rules);
  for (RuleId rule = 0; rule < n_rules; ++rule) {
    for (const Sequence& sequence : grammar.rules[rule].alternatives) {
      for (size_t i = 0; i < sequence.size(); ++i) {
        if (sequence[i].kind == Symbol::Kind::kRule) {
          edges[rule].push_back({sequence[i].index, LeavesFrame(sequence, i)});
        }
        if (IsNeeded(sequence[i], nullable)) {
          break;
        }
      }
    }
  }
  constexpr uint32_t kUnseen = 0;
  uint32_t n_seen = 0;
  uint32_t n_components = 0;
  std::vector<uint32_t> order(n_rules, kUnseen);
  std::vector<uint32_t> low(n_rules, 0);
  std::vector<uint32_t> component(n_rules, 0);  // 0: none yet
  std::vector<RuleId> members;
  std::vector<std::pair<RuleId, size_t>> path;  // with the edge to follow next
  const auto enter = [&](RuleId rule) {
    order[rule] = low[rule] = ++n_seen;
    members.push_back(rule);
    path.emplace_back(rule, 0);
  };
  for (RuleId first = 0; first < n_rules; ++first) {
    if (order[first] != kUnseen) {
      continue;
    }
    enter(first);
    while (!path.empty()) {
      const RuleId rule = path.back().first;
      if (path.back().second < edges[rule].size()) {
        const RuleId to = edges[rule][path.back().second++].to;
        if (order[to] == kUnseen) {
          enter(to);
        } else if (component[to] == 0) {
          low[rule] = std::min(low[rule], order[to]);
        }
        continue;
      }
      path.pop_back();
      if (!path.empty()) {
        low[path.back().first] = std::min(low[path.back().first], low[rule]);
      }
      if (low[rule] == order[rule]) {
        ++n_components;
        RuleId member = 0;
        do {
          member = members.back();
          members.pop_back();
          component[member] = n_components;
        } while (member != rule);
      }
    }
  }
  for (RuleId rule = 0; rule < n_rules; ++rule) {
    for (const Edge& edge : edges[rule]) {
      if (edge.leaves_frame && component[edge.to] == component[rule]) {
        return Fail(ErrorKind::kUsage,
                    "the grammar is left-recursive: a rule leads back to itself, through another "
                    "or behind something that may be empty, before a character is said");
      }
    }
  }
  return {};
}

}  // namespace plimsoll::grammar
