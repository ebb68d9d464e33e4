// For tests: texts that a grammar says, at random.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace plimsoll::grammar {

class Sampler {
 public:
  // The grammar must outlive it.
  Sampler(const Grammar& grammar, uint32_t seed)
      : grammar_(grammar), costs_(grammar.rules.size(), kNever), random_(seed) {
    for (bool changed = true; changed;) {
      changed = false;
      for (RuleId rule = 0; rule < grammar.rules.size(); ++rule) {
        for (const Sequence& sequence : grammar.rules[rule].alternatives) {
          const double cost = CostOf(sequence);
          changed |= cost < costs_[rule];
          costs_[rule] = std::min(costs_[rule], cost);
        }
      }
    }
  }

  [[nodiscard]] bool says_anything() const { return costs_[grammar_.root] < kNever; }
  // Must say something.
  [[nodiscard]] std::string Next() {
    text_.clear();
    Say(grammar_.root, 0);
    return text_;
  }

 private:
  // Beyond these the shortest way on is taken.
  static constexpr uint32_t kMaxDepth = 40;
  static constexpr size_t kMaxBytes = 2000;

  static constexpr double kNever = 1e300;

  // How many symbols it takes at least.
  [[nodiscard]] double CostOf(const Sequence& sequence) const {
    double cost = 1;
    for (const Symbol& symbol : sequence) {
      if (symbol.min > 0) cost += symbol.min * CostOf(symbol);
    }
    return std::min(cost, kNever);
  }
  [[nodiscard]] double CostOf(const Symbol& symbol) const {
    if (symbol.kind == Symbol::Kind::kRule) return costs_[symbol.index];
    return grammar_.byte_sets[symbol.index].any() ? 1 : kNever;
  }

  uint32_t Below(size_t n) { return static_cast<uint32_t>(random_() % n); }

  void Say(RuleId rule, uint32_t depth) {
    const auto& alternatives = grammar_.rules[rule].alternatives;
    std::vector<size_t> open;
    for (size_t i = 0; i < alternatives.size(); ++i) {
      if (CostOf(alternatives[i]) < kNever) open.push_back(i);
    }
    size_t chosen = open[Below(open.size())];
    if (depth > kMaxDepth || text_.size() > kMaxBytes) {
      chosen = *std::min_element(open.begin(), open.end(), [&](size_t a, size_t b) {
        return CostOf(alternatives[a]) < CostOf(alternatives[b]);
      });
    }
    for (const Symbol& symbol : alternatives[chosen]) Say(symbol, depth);
  }

  void Say(const Symbol& symbol, uint32_t depth) {
    const bool is_rule = symbol.kind == Symbol::Kind::kRule;
    if (CostOf(symbol) >= kNever) return;  // and need not be
    uint32_t count = symbol.min;
    const bool may_grow = depth <= kMaxDepth && text_.size() <= kMaxBytes;
    while (may_grow && count < symbol.max && Below(3) != 0) ++count;
    for (uint32_t i = 0; i < count; ++i) {
      if (is_rule) {
        Say(symbol.index, depth + 1);
      } else {
        SayByte(grammar_.byte_sets[symbol.index]);
      }
    }
  }

  void SayByte(const ByteSet& set) {
    std::vector<char> bytes;
    for (unsigned byte = 0; byte < 256; ++byte) {
      if (set.test(byte)) bytes.push_back(static_cast<char>(byte));
    }
    text_ += bytes[Below(bytes.size())];
  }

  const Grammar& grammar_;
  std::vector<double> costs_;  // by rule
  std::mt19937 random_;
  std::string text_;
};

}  // namespace plimsoll::grammar
