// Which tokens of a vocabulary may follow.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "grammar/matcher.h"
#include "grammar/vocabulary_trie.h"

namespace plimsoll::grammar {

using TokenMask = std::vector<uint64_t>;  // a bit for each token of the vocabulary

// Computes masks by one walk of the vocabulary's trie, and keeps those that were wanted last. One
// for a model, shared by all its requests. Thread-safe.
//
// Most of a walk does not depend on the whole stack: what may stand within a string is the same
// wherever the string stands. So a state is taken apart at the deepest frame that all its stacks
// share; what is above it gives a mask that serves all states with the same upper part, and the
// places in the trie where a token goes on below, which are few and are looked at each time. That
// tokens fall into those that depend on the stack and those that do not is due to Dong et al.,
// "XGrammar: Flexible and Efficient Structured Generation Engine", MLSys 2025 (arXiv:2411.15100).
class TokenMasks {
 public:
  // Frames that one mask may look at. More is refused: other requests wait meanwhile.
  static constexpr uint64_t kMaxVisits = 1'000'000;
  // What a walk may remember of the way it came: beyond it all but the present place is forgotten,
  // which counts as so many frames. As sampling::ConstrainedMemory::walk has it.
  static constexpr uint64_t kMaxWalkBytes = 256 * 1024;
  static constexpr uint64_t kVisitsToRenew = 1024;

  TokenMasks(std::shared_ptr<const VocabularyTrie> vocabulary, uint64_t max_bytes);

  [[nodiscard]] const VocabularyTrie& vocabulary() const { return *vocabulary_; }

  // The tokens that can follow `state` of `matcher`, those that end a generation where the text is
  // whole. `at_start`: no text is there yet. Null when finding it takes too much work; that, too,
  // depends on the state alone.
  [[nodiscard]] std::shared_ptr<const TokenMask> Find(Matcher& matcher, Matcher::StateId state,
                                                      bool at_start);

  struct Totals {
    uint64_t n_found = 0;  // in the cache
    uint64_t n_computed = 0;
    uint64_t n_upper_computed = 0;  // with a walk of the whole trie
    uint64_t bytes = 0;
  };
  [[nodiscard]] Totals totals() const;

 private:
  using Key = std::vector<uint32_t>;
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  using Exits = std::vector<uint32_t>;  // nodes at which an upper part is left
  struct Entry {
    std::shared_ptr<const TokenMask> mask;     // null: too much work
    std::shared_ptr<const Exits> exits;        // of an upper part
    std::weak_ptr<const Automaton> automaton;  // so that its address stays its own
  };
  // A walk of the vocabulary along what can follow a matcher's start.
  struct Walk {
    Matcher& matcher;
    TokenMask& mask;
    Exits* exits = nullptr;      // null: those are not asked for
    uint64_t n_visits = 0;       // of the matcher when it began, and
    uint64_t n_more_visits = 0;  // for what was forgotten
  };
  using Line = std::list<std::pair<Key, Entry>>;

  [[nodiscard]] Key KeyOf(const Matcher& matcher, Matcher::StateId state, bool is_upper,
                          bool at_start) const;
  [[nodiscard]] const Entry* Look(const Key& key);
  // Those that were used longest ago go for it; one that is too large for all of the room is not
  // kept.
  void Keep(Key key, Entry entry);
  [[nodiscard]] Entry UpperOf(Matcher& matcher, Matcher::StateId state, bool at_start,
                              Matcher::StateId& lower);
  [[nodiscard]] Entry ComputeUpper(Matcher& upper, bool at_start);
  [[nodiscard]] std::shared_ptr<const TokenMask> Compute(Matcher& matcher, Matcher::StateId state,
                                                         bool at_start);
  // Adds the tokens of a range of nodes below a node of depth `depth`, where the start is reached;
  // false when it is too much work.
  [[nodiscard]] bool Go(Walk& walk, uint32_t begin, uint32_t end, uint16_t depth);
  // Forgets all but the way from `depth` to a node; false when that is too much as well.
  [[nodiscard]] bool Renew(Walk& walk, uint16_t depth, const VocabularyTrie::Node& node);
  [[nodiscard]] static uint64_t BytesOf(const Key& key, const Entry& entry);

  const std::shared_ptr<const VocabularyTrie> vocabulary_;
  const uint64_t max_bytes_;
  mutable std::mutex mutex_;
  Line line_;  // used last first
  std::unordered_map<Key, Line::iterator, KeyHash> index_;
  std::vector<Matcher::StateId> path_;  // by depth
  Totals totals_;
};

}  // namespace plimsoll::grammar
