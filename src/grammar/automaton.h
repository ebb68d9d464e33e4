// A grammar made ready to be followed byte by byte.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "grammar/grammar.h"

namespace plimsoll::grammar {

// The rules as a pushdown automaton: sequences of items, each ended by kEnd. What cannot be said is
// gone, so that whatever has been followed up to somewhere can be brought to an end; alternatives
// that begin alike are one up to where they differ; and a rule that begins with itself is a
// repetition. Immutable and thread-safe.
class Automaton {
 public:
  // Frames on a stack. An answer may nest deeper only where it need not.
  static constexpr uint32_t kMaxDepth = 1024;

  struct Item {
    enum class Kind : uint8_t { kBytes, kRule, kEnd };
    Kind kind = Kind::kEnd;
    bool is_last = false;  // kEnd follows
    uint32_t index = 0;    // of a byte set or a rule
    uint32_t min = 0;      // 0 where saying nothing counts as well
    uint32_t max = 0;
  };
  struct Start {
    uint32_t item = 0;    // the first of a sequence
    uint32_t height = 0;  // frames that saying it needs at least
  };

  // kUsage for a grammar that says nothing at all, that cannot be said within kMaxDepth frames, or
  // whose rules lead back to themselves in a circle before any byte is said. CPU: linear but for a
  // logarithm; no recursion.
  [[nodiscard]] static Result<Automaton> Compile(Grammar grammar);

  [[nodiscard]] const Item& item(uint32_t index) const { return items_[index]; }
  [[nodiscard]] std::span<const Start> starts(RuleId rule) const {
    return std::span(starts_).subspan(first_start_[rule],
                                      first_start_[rule + 1] - first_start_[rule]);
  }
  [[nodiscard]] RuleId root() const { return root_; }
  [[nodiscard]] bool says_nothing() const { return root_is_nullable_; }  // as one of its texts
  [[nodiscard]] bool Has(uint32_t byte_set, uint8_t byte) const {
    return byte_sets_[byte_set].test(byte);
  }
  // Bytes of one class are in the same sets.
  [[nodiscard]] uint8_t class_of(uint8_t byte) const { return class_of_[byte]; }
  [[nodiscard]] uint32_t n_classes() const { return n_classes_; }
  [[nodiscard]] uint64_t Bytes() const;

 private:
  Automaton() = default;
  void FindClasses();

  std::vector<Item> items_;
  std::vector<Start> starts_;
  std::vector<uint32_t> first_start_;  // by rule, and one more
  std::vector<ByteSet> byte_sets_;
  std::array<uint8_t, 256> class_of_ = {};
  uint32_t n_classes_ = 1;
  RuleId root_ = 0;
  bool root_is_nullable_ = false;
};

}  // namespace plimsoll::grammar
