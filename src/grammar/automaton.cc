#include "grammar/automaton.h"

#include <algorithm>
#include <utility>

#include "grammar/simplify.h"

namespace plimsoll::grammar {
namespace {

using Item = Automaton::Item;

// Of a symbol that is said at least `min` times, where nothing may be all that it says.
Item ItemOf(const Symbol& symbol, const std::vector<bool>& nullable) {
  const bool is_rule = symbol.kind == Symbol::Kind::kRule;
  return {.kind = is_rule ? Item::Kind::kRule : Item::Kind::kBytes,
          .index = symbol.index,
          .min = is_rule && nullable[symbol.index] ? 0 : symbol.min,
          .max = symbol.max};
}

}  // namespace

Result<Automaton> Automaton::Compile(Grammar grammar) {
  RemoveDirectLeftRecursion(grammar);
  FactorAlternatives(grammar);
  const std::vector<bool> nullable = FindNullable(grammar);
  const Heights heights = FindHeights(grammar, nullable);
  const uint32_t height = heights.rules[grammar.root];
  if (height == kCannotBeSaid) {
    return Fail(ErrorKind::kUsage, "no text satisfies the grammar");
  }
  if (height > kMaxDepth) {
    return Fail(ErrorKind::kUsage,
                "the grammar nests too deep: its shortest text needs {} levels, and {} are "
                "followed at most",
                height, kMaxDepth);
  }
  // What cannot be said goes first: it must not count as a way back to a rule.
  for (RuleId rule = 0; rule < grammar.rules.size(); ++rule) {
    for (size_t i = 0; i < grammar.rules[rule].alternatives.size(); ++i) {
      Sequence& sequence = grammar.rules[rule].alternatives[i];
      if (heights.alternatives[rule][i] == kCannotBeSaid) {
        continue;
      }
      std::erase_if(sequence, [&](const Symbol& symbol) {
        return symbol.kind == Symbol::Kind::kRule ? heights.rules[symbol.index] == kCannotBeSaid
                                                  : grammar.byte_sets[symbol.index].none();
      });
    }
  }
  for (RuleId rule = 0; rule < grammar.rules.size(); ++rule) {
    for (size_t i = 0; i < grammar.rules[rule].alternatives.size(); ++i) {
      if (heights.alternatives[rule][i] == kCannotBeSaid) {
        grammar.rules[rule].alternatives[i].clear();
      }
    }
  }
  if (auto checked = CheckLeftRecursion(grammar, nullable); !checked) {
    return Forward(checked);
  }
  Automaton automaton;
  automaton.root_ = grammar.root;
  automaton.root_is_nullable_ = nullable[grammar.root];
  for (RuleId rule = 0; rule < grammar.rules.size(); ++rule) {
    automaton.first_start_.push_back(static_cast<uint32_t>(automaton.starts_.size()));
    for (size_t i = 0; i < grammar.rules[rule].alternatives.size(); ++i) {
      const Sequence& sequence = grammar.rules[rule].alternatives[i];
      // An empty one says nothing that its rule's being nullable does not.
      if (sequence.empty() || heights.alternatives[rule][i] > kMaxDepth) {
        continue;
      }
      automaton.starts_.push_back({.item = static_cast<uint32_t>(automaton.items_.size()),
                                   .height = heights.alternatives[rule][i]});
      for (const Symbol& symbol : sequence) {
        automaton.items_.push_back(ItemOf(symbol, nullable));
      }
      automaton.items_.back().is_last = true;
      automaton.items_.push_back({});
    }
  }
  automaton.first_start_.push_back(static_cast<uint32_t>(automaton.starts_.size()));
  automaton.byte_sets_ = std::move(grammar.byte_sets);
  automaton.FindClasses();
  return automaton;
}

void Automaton::FindClasses() {
  for (const ByteSet& set : byte_sets_) {
    if (n_classes_ == 256) {
      return;
    }
    std::array<std::array<int16_t, 2>, 256> renamed;
    for (auto& names : renamed) {
      names.fill(-1);
    }
    uint32_t n = 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      int16_t& name = renamed[class_of_[byte]][set.test(byte) ? 1 : 0];
      if (name < 0) {
        name = static_cast<int16_t>(n++);
      }
      class_of_[byte] = static_cast<uint8_t>(name);
    }
    n_classes_ = n;
  }
}

uint64_t Automaton::Bytes() const {
  return items_.capacity() * sizeof(Item) + starts_.capacity() * sizeof(Start) +
         first_start_.capacity() * sizeof(uint32_t) + byte_sets_.capacity() * sizeof(ByteSet) +
         sizeof(*this);
}

}  // namespace plimsoll::grammar
