// Follows a text along a grammar, byte by byte.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/automaton.h"

namespace plimsoll::grammar {

// A nondeterministic pushdown automaton whose stacks share their frames: what is on top of a frame
// is another frame that refers to it, alike frames are one, and so a set of stacks is a list of
// numbers. Sets that were met and the bytes that lead from one to the next are kept, so that most
// steps are the reading of a table. Copies of a place in a text cost nothing: a place is a StateId.
//
// Bounded: kMaxStacks at a time and kMaxVisits for one byte. Of a grammar so ambiguous that more
// would be needed the rest is not followed: fewer texts are taken then, none that is wrong, and a
// text that was taken can still be brought to an end. Which ones depends on the text alone.
//
// For one thread at a time.
class Matcher {
 public:
  using StateId = uint32_t;
  static constexpr StateId kDead = 0;  // nothing can follow: the text is not of the grammar
  static constexpr size_t kMaxStacks = 1024;
  static constexpr size_t kMaxVisits = 16384;

  explicit Matcher(std::shared_ptr<const Automaton> automaton);
  // Follows nothing until Restart, or until another one's Split fills it.
  [[nodiscard]] static Matcher Empty(std::shared_ptr<const Automaton> automaton) {
    return {std::move(automaton), kDead};
  }

  [[nodiscard]] const std::shared_ptr<const Automaton>& automaton() const { return automaton_; }
  [[nodiscard]] StateId start() const { return start_; }
  [[nodiscard]] StateId Step(StateId state, uint8_t byte) {
    const uint32_t known = next_[state * n_classes_ + automaton_->class_of(byte)];
    return known != kUnknown ? known : FindStep(state, byte);
  }
  [[nodiscard]] StateId Step(StateId state, std::string_view text);
  // The text so far is a whole one; and nothing can be added to it.
  [[nodiscard]] bool IsWhole(StateId state) const { return states_[state].is_whole; }
  [[nodiscard]] bool IsOver(StateId state) const {
    return states_[state].is_whole && states_[state].n == 0;
  }

  // Makes it a matcher of nothing but what can follow the other one's `state`, its start.
  void Restart(const Matcher& from, StateId state);
  // Forgets everything but what can follow `keep`, and gives it its new number.
  [[nodiscard]] StateId Compact(StateId keep);
  // Bytes: what it takes. Used bytes: of these, what it is filled with, which the grammar and what
  // was asked since Restart, Split or Compact decide alone.
  [[nodiscard]] uint64_t Bytes() const;
  [[nodiscard]] uint64_t UsedBytes() const {
    return frames_.size() * kBytesAFrame + states_.size() * kBytesAState +
           (stacks_.size() + next_.size()) * sizeof(uint32_t);
  }
  // Stack frames that were looked at since it was made: a measure of work.
  [[nodiscard]] uint64_t n_visits() const { return n_visits_; }

  // A state taken apart at the deepest frame that is part of all its stacks. What is above it is
  // `upper`, a state of this or another matcher of the grammar, whose being whole means that it
  // goes on below; `lower` is the state that it goes on with then, kDead when there is nothing.
  struct Halves {
    StateId upper = kDead;
    StateId lower = kDead;
  };
  [[nodiscard]] Halves Split(StateId state, Matcher& for_upper);
  // What decides which texts of at most `n_bytes` bytes can follow, for use as a key: states with
  // the same signature take the same ones. Repetitions whose bounds are further away are alike.
  void AppendSignature(StateId state, uint32_t n_bytes, std::vector<uint32_t>& out) const;

 private:
  static constexpr uint32_t kBottom = 0;  // the frame below all others
  static constexpr uint32_t kUnknown = UINT32_MAX;

  // An item, said `count` times so far, and where to go on when its sequence is over.
  struct Frame {
    uint32_t item = 0;
    uint32_t count = 0;
    uint32_t parent = kBottom;
    uint32_t depth = 0;  // frames below
  };
  struct State {
    uint32_t begin = 0;  // in stacks_
    uint32_t n = 0;
    bool is_whole = false;
  };
  // Of a frame beside what it is, when it was seen; its places in an index that is at most half
  // full; and its number, while stacks are written down. A state with its entry in an index.
  static constexpr uint64_t kBytesAFrame =
      sizeof(Frame) + sizeof(uint64_t) + 4 * sizeof(uint32_t) + 2 * sizeof(uint32_t);
  static constexpr uint64_t kBytesAState = sizeof(State) + 48;
  struct Pending {
    uint32_t frame;
    bool is_fresh;  // its sequence has said nothing yet
  };

  Matcher(std::shared_ptr<const Automaton> automaton, StateId start);
  void Clear(uint32_t base_depth);
  [[nodiscard]] uint32_t Intern(uint32_t item, uint32_t count, uint32_t parent);
  void GrowFrameIndex();
  void Push(uint32_t item, uint32_t count, uint32_t parent, bool is_fresh);
  void Enter(RuleId rule, uint32_t parent);
  void Close();
  void Visit(const Pending& pending);
  [[nodiscard]] StateId Keep();
  [[nodiscard]] StateId FindStep(StateId state, uint8_t byte);
  [[nodiscard]] std::span<const uint32_t> StacksOf(StateId state) const {
    return std::span(stacks_).subspan(states_[state].begin, states_[state].n);
  }
  [[nodiscard]] uint32_t FindCommonFrame(StateId state);
  // The state in another matcher that has none, whose bottom takes the place of the frame `bottom`.
  [[nodiscard]] StateId CopyTo(StateId state, uint32_t bottom, Matcher& to) const;

  std::shared_ptr<const Automaton> automaton_;
  uint32_t n_classes_;
  uint32_t base_depth_ = 0;  // of the bottom
  std::vector<Frame> frames_;
  std::vector<uint32_t> frame_index_;  // a hash table of numbers of frames_, 0: free
  std::vector<uint64_t> seen_;         // by frame: the pass that saw it, and how; see Push
  std::vector<State> states_;
  std::vector<uint32_t> stacks_;  // frames of states, each on top of its stack
  std::unordered_multimap<uint64_t, StateId> state_index_;
  std::vector<uint32_t> next_;  // by state and class of bytes
  StateId start_ = kDead;

  uint64_t n_passes_ = 0;
  uint64_t n_visits_ = 0;
  std::vector<Pending> pending_;
  std::vector<uint32_t> found_;
  bool found_end_ = false;

  // While stacks are written down: the number of each frame that was. Kept for its memory.
  struct Numbering {
    std::vector<uint32_t> numbers;  // by frame, kUnknown between two uses
    std::vector<uint32_t> frames;   // that have one
    std::vector<uint32_t> path;
  };
  // Calls write(frame, number of its parent), which gives its number, for each frame of the state's
  // stacks above `bottom`, parents first; and end(number) for each stack.
  template <class Write, class End>
  void ForEachFrame(StateId state, uint32_t bottom, const Write& write, const End& end) const;
  mutable Numbering numbering_;
};

}  // namespace plimsoll::grammar
