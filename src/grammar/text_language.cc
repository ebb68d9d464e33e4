#include "grammar/text_language.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "text/utf8.h"

namespace plimsoll::grammar {
namespace {

tl::unexpected<Error> TooManyStates() {
  return Fail(
      ErrorKind::kDoesNotFit,
      "patterns that hold beside others or beside lengths may have {} states at most; counts "
      "in them are too large",
      RegexAutomaton::kMaxStates);
}

}  // namespace

// From the end to the start: what comes next is there already.
class RegexAutomaton::Maker {
 public:
  Maker(RegexAutomaton& automaton, const RegexTree& tree) : automaton_(automaton), tree_(tree) {}

  // Where `id` begins, if `next` comes behind it. The depth is that of the pattern's groups.
  uint32_t Make(uint32_t id, uint32_t next) {
    const RegexNode& node = tree_.nodes[id];
    if (is_full()) return next;
    switch (node.kind) {
      case RegexNode::Kind::kSet:
        return Add({.set = node.set, .next = {next}});
      case RegexNode::Kind::kAlternation: {
        std::vector<uint32_t> branches;
        for (const uint32_t child : node.children) branches.push_back(Make(child, next));
        return Add({.next = std::move(branches)});
      }
      case RegexNode::Kind::kRepetition:
        return Repeat(node, next);
      default:
        for (auto child = node.children.rbegin(); child != node.children.rend(); ++child) {
          next = Make(*child, next);
        }
        return next;
    }
  }

  [[nodiscard]] bool is_full() const { return automaton_.states_.size() > kMaxStates; }

 private:
  uint32_t Add(State state) {
    automaton_.states_.push_back(std::move(state));
    return static_cast<uint32_t>(automaton_.states_.size() - 1);
  }

  uint32_t Repeat(const RegexNode& node, uint32_t next) {
    const uint32_t child = node.children[0];
    uint32_t first = next;
    if (node.max == kUnbounded) {
      first = Add({});
      const uint32_t again = Make(child, first);
      automaton_.states_[first].next = {again, next};
    } else {
      for (uint32_t i = node.min; i < node.max && !is_full(); ++i) {
        const uint32_t once = Make(child, first);
        first = Add({.next = {once, next}});
      }
    }
    for (uint32_t i = 0; i < node.min && !is_full(); ++i) first = Make(child, first);
    return first;
  }

  RegexAutomaton& automaton_;
  const RegexTree& tree_;
};

Result<RegexAutomaton> RegexAutomaton::Make(const RegexTree& tree) {
  RegexAutomaton automaton;
  automaton.sets_ = tree.sets;
  Maker maker(automaton, tree);
  automaton.start_ = maker.Make(tree.root, kEnd);
  if (maker.is_full()) return TooManyStates();
  return automaton;
}

RegexAutomaton::Places RegexAutomaton::Closed(Places places) const {
  Places closed;
  std::vector<bool> is_seen(states_.size());
  while (!places.empty()) {
    const uint32_t at = places.back();
    places.pop_back();
    if (is_seen[at]) continue;
    is_seen[at] = true;
    const State& state = states_[at];
    if (at == kEnd || state.set != kNoSet) {
      closed.push_back(at);
    } else {
      places.insert(places.end(), state.next.begin(), state.next.end());
    }
  }
  std::sort(closed.begin(), closed.end());
  return closed;
}

RegexAutomaton::Places RegexAutomaton::Start() const { return Closed({start_}); }

template <class IsIn>
RegexAutomaton::Places RegexAutomaton::Step(const Places& places, const IsIn& is_in) const {
  Places next;
  for (const uint32_t at : places) {
    const State& state = states_[at];
    if (state.set != kNoSet && is_in(state.set)) next.push_back(state.next[0]);
  }
  return next.empty() ? next : Closed(std::move(next));
}

Result<> TextLanguage::Add(const RegexTree& tree, bool is_wanted) {
  auto automaton = RegexAutomaton::Make(tree);
  if (!automaton) return Forward(automaton);
  n_states_ += automaton->n_states();
  if (n_states_ > RegexAutomaton::kMaxStates) return TooManyStates();
  parts_.push_back({std::move(*automaton), is_wanted});
  return {};
}

bool TextLanguage::Contains(std::string_view text) const {
  uint32_t length = 0;
  for (std::string_view rest = text; !rest.empty(); ++length) {
    rest.remove_prefix(text::DecodeChar(rest).length);
  }
  if (length < min_length || length > max_length) return false;
  return std::all_of(parts_.begin(), parts_.end(), [&](const Part& part) {
    RegexAutomaton::Places places = part.automaton.Start();
    for (std::string_view rest = text; !rest.empty();) {
      const text::DecodedChar decoded = text::DecodeChar(rest);
      rest.remove_prefix(decoded.length);
      places = part.automaton.Step(places, [&](uint32_t set) {
        return part.automaton.sets()[set].Contains(decoded.code_point);
      });
    }
    return RegexAutomaton::IsWhole(places) == part.is_wanted;
  });
}

// All parts followed at once, and the length: the sets of places that can be met are the states.
class TextLanguage::Determinizer {
 public:
  Determinizer(const TextLanguage& language, GrammarBuilder& builder, Speller& speller,
               Budget& budget)
      : language_(language), builder_(builder), speller_(speller), budget_(budget) {
    FindClasses();
  }

  Result<Symbol> Run() {
    State start;
    for (const Part& part : language_.parts_) start.places.push_back(part.automaton.Start());
    const RuleId root = RuleOf(std::move(start));
    for (size_t i = 0; i < order_.size(); ++i) {
      Fill(*order_[i].first, order_[i].second);
      if (builder_.is_full() || budget_.IsSpent() || n_places_ > kMaxPlaces) {
        return Fail(ErrorKind::kDoesNotFit,
                    "patterns, lengths and names together need too many states");
      }
    }
    return GrammarBuilder::Reference(root);
  }

 private:
  struct State {
    uint32_t length = 0;
    std::vector<RegexAutomaton::Places> places{};  // by part

    bool operator==(const State&) const = default;
  };
  struct StateHash {
    size_t operator()(const State& state) const {
      uint64_t hash = state.length;
      for (const auto& places : state.places) {
        for (const uint32_t at : places) hash = (hash ^ at) * 0x9E3779B97F4A7C15ULL;
        hash = (hash ^ (hash >> 31)) * 0xBF58476D1CE4E5B9ULL;
      }
      return hash;
    }
  };

  // Characters that are in the same sets are one class.
  void FindClasses() {
    std::vector<char32_t> starts = {0};
    for (const Part& part : language_.parts_) {
      for (const CodePoints& set : part.automaton.sets()) {
        for (const CodePointRange& range : set.ranges()) {
          starts.push_back(range.first);
          if (range.last < kLastCodePoint) starts.push_back(range.last + 1);
        }
      }
    }
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    std::map<std::vector<bool>, uint32_t> known;
    for (size_t i = 0; i < starts.size() && !budget_.IsSpent(); ++i) {
      std::vector<bool> is_in;
      for (const Part& part : language_.parts_) {
        for (const CodePoints& set : part.automaton.sets())
          is_in.push_back(set.Contains(starts[i]));
      }
      const auto [place, is_new] =
          known.try_emplace(std::move(is_in), static_cast<uint32_t>(classes_.size()));
      if (is_new) {
        classes_.emplace_back();
        memberships_.push_back(place->first);
      }
      const char32_t last = i + 1 < starts.size() ? starts[i + 1] - 1 : kLastCodePoint;
      classes_[place->second].push_back({starts[i], last});
    }
  }

  RuleId RuleOf(State state) {
    const auto [place, is_new] = rules_.try_emplace(std::move(state));
    if (is_new) {
      for (const auto& places : place->first.places) n_places_ += places.size();
      place->second = builder_.Declare();
      order_.emplace_back(&place->first, place->second);
    }
    return place->second;
  }

  [[nodiscard]] bool IsWhole(const State& state) const {
    if (state.length < language_.min_length) return false;
    for (size_t i = 0; i < state.places.size(); ++i) {
      if (RegexAutomaton::IsWhole(state.places[i]) != language_.parts_[i].is_wanted) return false;
    }
    return true;
  }

  // Where one character of a class leads to; nowhere where a wanted part has no place left.
  std::optional<State> Next(const State& state, size_t at_class) const {
    State next;
    const bool has_max = language_.max_length != kUnbounded;
    next.length = has_max ? state.length + 1 : std::min(state.length + 1, language_.min_length);
    uint32_t first_set = 0;
    for (size_t i = 0; i < state.places.size(); ++i) {
      const Part& part = language_.parts_[i];
      next.places.push_back(part.automaton.Step(
          state.places[i], [&](uint32_t set) { return memberships_[at_class][first_set + set]; }));
      if (next.places.back().empty() && part.is_wanted) return std::nullopt;
      first_set += static_cast<uint32_t>(part.automaton.sets().size());
    }
    return next;
  }

  void Fill(const State& state, RuleId rule) {
    if (IsWhole(state)) builder_.Add(rule, {});
    if (state.length >= language_.max_length) return;
    std::map<RuleId, std::vector<CodePointRange>> ways;
    for (size_t c = 0; c < classes_.size() && !budget_.IsSpent() && n_places_ <= kMaxPlaces; ++c) {
      auto next = Next(state, c);
      if (!next) continue;
      auto& ranges = ways[RuleOf(std::move(*next))];
      ranges.insert(ranges.end(), classes_[c].begin(), classes_[c].end());
    }
    for (auto& [target, ranges] : ways) {
      builder_.Add(
          rule, {speller_.OneOf(CodePoints(std::move(ranges))), GrammarBuilder::Reference(target)});
    }
  }

  const TextLanguage& language_;
  GrammarBuilder& builder_;
  Speller& speller_;
  Budget& budget_;
  std::vector<std::vector<CodePointRange>> classes_;
  std::vector<std::vector<bool>> memberships_;  // of each class, by set
  std::unordered_map<State, RuleId, StateHash> rules_;
  std::vector<std::pair<const State*, RuleId>> order_;
  size_t n_places_ = 0;
};

Result<Symbol> TextLanguage::AddTo(GrammarBuilder& builder, Speller& speller,
                                   Budget& budget) const {
  return Determinizer(*this, builder, speller, budget).Run();
}

RegexTree TreeOfTexts(const std::vector<std::string_view>& texts) {
  RegexTree tree;
  std::map<char32_t, uint32_t> sets;
  const auto add = [&](RegexNode node) {
    tree.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree.nodes.size() - 1);
  };
  std::vector<uint32_t> branches;
  for (std::string_view text : texts) {
    std::vector<uint32_t> parts;
    if (tree.nodes.size() > 2 * RegexAutomaton::kMaxStates + 1)
      break;  // one for a text, one a letter
    while (!text.empty()) {
      const text::DecodedChar decoded = text::DecodeChar(text);
      text.remove_prefix(decoded.length);
      const auto [place, is_new] =
          sets.try_emplace(decoded.code_point, static_cast<uint32_t>(tree.sets.size()));
      if (is_new) tree.sets.push_back(CodePoints({{decoded.code_point, decoded.code_point}}));
      parts.push_back(add({.kind = RegexNode::Kind::kSet, .set = place->second}));
    }
    branches.push_back(add({.children = std::move(parts)}));
  }
  tree.root = add({.kind = RegexNode::Kind::kAlternation, .children = std::move(branches)});
  return tree;
}

}  // namespace plimsoll::grammar
