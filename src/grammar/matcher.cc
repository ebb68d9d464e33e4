#include "grammar/matcher.h"

#include <algorithm>
#include <utility>

namespace plimsoll::grammar {
namespace {

using Item = Automaton::Item;

constexpr size_t kFirstIndexSize = 256;
// How a pass saw a frame; it found it: it is one of those that wait for a byte.
constexpr uint64_t kMarksPerPass = 4;
constexpr uint64_t kNotFresh = 2;
constexpr uint64_t kFound = 1;

uint64_t Mix(uint64_t hash, uint64_t value) {  // the finalizer of splitmix64, chained
  hash ^= value + 0x9E3779B97F4A7C15ULL;
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBULL;
  return hash ^ (hash >> 31);
}

uint64_t HashOf(uint32_t item, uint32_t count, uint32_t parent) {
  return Mix(uint64_t{item} << 32 | count, parent);
}

// Beyond its least number an endless repetition does not count any further.
uint32_t Saturated(const Item& item, uint32_t count) {
  return item.max == kUnbounded ? std::min(count, item.min) : count;
}

}  // namespace

Matcher::Matcher(std::shared_ptr<const Automaton> automaton, StateId start)
    : automaton_(std::move(automaton)), n_classes_(automaton_->n_classes()), start_(start) {
  Clear(0);
}

Matcher::Matcher(std::shared_ptr<const Automaton> automaton)
    : Matcher(std::move(automaton), kDead) {
  Enter(automaton_->root(), kBottom);
  Close();
  found_end_ = automaton_->says_nothing();
  start_ = Keep();
}

void Matcher::Clear(uint32_t base_depth) {
  base_depth_ = base_depth;
  frames_.assign(1, {.item = 0, .count = 0, .parent = kBottom, .depth = base_depth_});
  frame_index_.assign(kFirstIndexSize, 0);
  seen_.assign(1, 0);
  states_.assign(1, {});  // kDead
  stacks_.clear();
  state_index_.clear();
  next_.assign(n_classes_, kDead);
  pending_.clear();
  found_.clear();
  found_end_ = false;
  n_passes_ = 1;
}

uint32_t Matcher::Intern(uint32_t item, uint32_t count, uint32_t parent) {
  const size_t mask = frame_index_.size() - 1;
  size_t at = HashOf(item, count, parent) & mask;
  for (; frame_index_[at] != 0; at = (at + 1) & mask) {
    const Frame& frame = frames_[frame_index_[at]];
    if (frame.item == item && frame.count == count && frame.parent == parent) {
      return frame_index_[at];
    }
  }
  const auto id = static_cast<uint32_t>(frames_.size());
  frames_.push_back({item, count, parent, frames_[parent].depth + 1});
  seen_.push_back(0);
  frame_index_[at] = id;
  if (frames_.size() * 2 > frame_index_.size()) {
    GrowFrameIndex();
  }
  return id;
}

void Matcher::GrowFrameIndex() {
  std::vector<uint32_t> index(frame_index_.size() * 2, 0);
  const size_t mask = index.size() - 1;
  for (uint32_t id = 1; id < frames_.size(); ++id) {
    const Frame& frame = frames_[id];
    size_t at = HashOf(frame.item, frame.count, frame.parent) & mask;
    while (index[at] != 0) {
      at = (at + 1) & mask;
    }
    index[at] = id;
  }
  frame_index_ = std::move(index);
}

void Matcher::Push(uint32_t item, uint32_t count, uint32_t parent, bool is_fresh) {
  const uint32_t frame = Intern(item, Saturated(automaton_->item(item), count), parent);
  const uint64_t mark = n_passes_ * kMarksPerPass + (is_fresh ? 0 : kNotFresh);
  if (seen_[frame] < n_passes_ * kMarksPerPass) {
    seen_[frame] = mark;
    pending_.push_back({frame, is_fresh});
  } else if (!is_fresh && (seen_[frame] & kNotFresh) == 0) {
    seen_[frame] |= kNotFresh;  // it leads to all that the fresh one does, and further
    pending_.push_back({frame, is_fresh});
  }
}

// In the order in which the alternatives are written; pending_ is a stack.
void Matcher::Enter(RuleId rule, uint32_t parent) {
  const auto starts = automaton_->starts(rule);
  for (size_t i = starts.size(); i-- > 0;) {
    if (frames_[parent].depth + starts[i].height <= Automaton::kMaxDepth) {
      Push(starts[i].item, 0, parent, true);
    }
  }
}

// All that can be reached without a byte.
void Matcher::Close() {
  for (size_t n = 0; !pending_.empty() && n < kMaxVisits && found_.size() < kMaxStacks; ++n) {
    const Pending pending = pending_.back();
    pending_.pop_back();
    ++n_visits_;
    Visit(pending);
  }
  pending_.clear();
}

// A sequence of which nothing was said comes to its end only by being left out as a whole, which is
// what an item's `min` of 0 is for; so an empty repetition goes nowhere.
void Matcher::Visit(const Pending& pending) {
  const Frame frame = frames_[pending.frame];
  const Item& item = automaton_->item(frame.item);
  if (item.kind == Item::Kind::kEnd) {
    if (pending.is_fresh) {
      return;
    }
    if (frame.parent == kBottom) {
      found_end_ = true;
    } else {
      const Frame below = frames_[frame.parent];
      Push(below.item, below.count + 1, below.parent, false);
    }
    return;
  }
  if (frame.count >= item.min) {
    Push(frame.item + 1, 0, frame.parent, pending.is_fresh);
  }
  if (frame.count >= item.max) {
    return;
  }
  if (item.kind == Item::Kind::kBytes) {
    if ((seen_[pending.frame] & kFound) == 0) {
      seen_[pending.frame] |= kFound;
      found_.push_back(pending.frame);
    }
    return;
  }
  const bool is_tail = item.is_last && frame.count + 1 == item.max;
  Enter(item.index, is_tail ? frame.parent : pending.frame);
}

// The order of the stacks is that in which they were found, which nothing but the text decides.
Matcher::StateId Matcher::Keep() {
  if (found_.empty() && !found_end_) {
    return kDead;
  }
  uint64_t hash = found_end_ ? 1 : 0;
  for (const uint32_t frame : found_) {
    hash = Mix(hash, frame);
  }
  const auto [first, last] = state_index_.equal_range(hash);
  for (auto at = first; at != last; ++at) {
    if (states_[at->second].is_whole == found_end_ &&
        std::ranges::equal(StacksOf(at->second), found_)) {
      return at->second;
    }
  }
  const auto id = static_cast<StateId>(states_.size());
  states_.push_back({.begin = static_cast<uint32_t>(stacks_.size()),
                     .n = static_cast<uint32_t>(found_.size()),
                     .is_whole = found_end_});
  stacks_.insert(stacks_.end(), found_.begin(), found_.end());
  next_.resize(next_.size() + n_classes_, kUnknown);
  state_index_.emplace(hash, id);
  return id;
}

Matcher::StateId Matcher::FindStep(StateId state, uint8_t byte) {
  ++n_passes_;
  found_.clear();
  found_end_ = false;
  const State from = states_[state];
  for (uint32_t i = from.n; i-- > 0;) {
    const Frame frame = frames_[stacks_[from.begin + i]];
    if (automaton_->Has(automaton_->item(frame.item).index, byte)) {
      Push(frame.item, frame.count + 1, frame.parent, false);
    }
  }
  Close();
  const StateId to = Keep();
  next_[state * n_classes_ + automaton_->class_of(byte)] = to;
  return to;
}

Matcher::StateId Matcher::Step(StateId state, std::string_view text) {
  for (const char byte : text) {
    state = Step(state, static_cast<uint8_t>(byte));
  }
  return state;
}

template <class Write, class End>
void Matcher::ForEachFrame(StateId state, uint32_t bottom, const Write& write,
                           const End& end) const {
  auto& [numbers, frames, path] = numbering_;
  numbers.resize(frames_.size(), kUnknown);
  const auto set = [&](uint32_t frame, uint32_t number) {
    numbers[frame] = number;
    frames.push_back(frame);
  };
  set(bottom, kBottom);
  for (const uint32_t top : StacksOf(state)) {
    uint32_t frame = top;
    for (path.clear(); numbers[frame] == kUnknown; frame = frames_[frame].parent) {
      path.push_back(frame);
    }
    uint32_t number = numbers[frame];
    for (; !path.empty(); path.pop_back()) {
      number = write(frames_[path.back()], number);
      set(path.back(), number);
    }
    end(number);
  }
  for (const uint32_t frame : frames) {
    numbers[frame] = kUnknown;
  }
  frames.clear();
}

Matcher::StateId Matcher::CopyTo(StateId state, uint32_t bottom, Matcher& to) const {
  to.found_.clear();
  ForEachFrame(
      state, bottom,
      [&](const Frame& frame, uint32_t parent) {
        return to.Intern(frame.item, frame.count, parent);
      },
      [&](uint32_t top) { to.found_.push_back(top); });
  to.found_end_ = states_[state].is_whole;
  return to.Keep();
}

void Matcher::Restart(const Matcher& from, StateId state) {
  automaton_ = from.automaton_;
  n_classes_ = from.n_classes_;
  Clear(from.base_depth_);
  start_ = from.CopyTo(state, kBottom, *this);
}

Matcher::StateId Matcher::Compact(StateId keep) {
  Matcher kept = Empty(automaton_);
  kept.Restart(*this, keep);
  kept.n_visits_ += n_visits_;
  std::swap(kept, *this);
  return start_;
}

// Parents come before what stands on them, so the highest number is nobody's parent.
uint32_t Matcher::FindCommonFrame(StateId state) {
  std::vector<uint32_t> tops;  // a heap without repetitions
  for (const uint32_t top : StacksOf(state)) {
    tops.push_back(frames_[top].parent);
  }
  std::ranges::make_heap(tops);
  while (tops.size() > 1) {
    const uint32_t highest = tops.front();
    while (!tops.empty() && tops.front() == highest) {
      std::ranges::pop_heap(tops);
      tops.pop_back();
    }
    if (tops.empty()) {
      return highest;
    }
    tops.push_back(frames_[highest].parent);
    std::ranges::push_heap(tops);
  }
  return tops.empty() ? kBottom : tops.front();
}

Matcher::Halves Matcher::Split(StateId state, Matcher& for_upper) {
  const uint32_t common = states_[state].is_whole ? kBottom : FindCommonFrame(state);
  for_upper.automaton_ = automaton_;
  for_upper.n_classes_ = n_classes_;
  for_upper.Clear(frames_[common].depth);
  for_upper.start_ = CopyTo(state, common, for_upper);
  if (common == kBottom) {
    return {.upper = for_upper.start_, .lower = kDead};
  }
  ++n_passes_;
  found_.clear();
  found_end_ = false;
  const Frame frame = frames_[common];
  Push(frame.item, frame.count + 1, frame.parent, false);
  Close();
  return {.upper = for_upper.start_, .lower = Keep()};
}

void Matcher::AppendSignature(StateId state, uint32_t n_bytes, std::vector<uint32_t>& out) const {
  const auto near_count = [n_bytes](const Item& item, uint32_t count) {
    if (count < item.min) {
      return item.min - count > n_bytes ? 0 : count;
    }
    return item.max == kUnbounded || item.max - count > n_bytes ? item.min : count;
  };
  out.push_back(states_[state].is_whole ? 1 : 0);
  out.push_back(base_depth_);
  uint32_t n_frames = kBottom;
  ForEachFrame(
      state, kBottom,
      [&](const Frame& frame, uint32_t parent) {
        out.push_back(frame.item);
        out.push_back(near_count(automaton_->item(frame.item), frame.count));
        out.push_back(parent);
        return ++n_frames;
      },
      [&](uint32_t top) {
        out.push_back(UINT32_MAX);  // the end of a stack; no item has this number
        out.push_back(top);
      });
}

uint64_t Matcher::Bytes() const {
  return frames_.capacity() * (sizeof(Frame) + sizeof(uint64_t)) +
         frame_index_.capacity() * sizeof(uint32_t) + states_.capacity() * sizeof(State) +
         (stacks_.capacity() + next_.capacity()) * sizeof(uint32_t) + state_index_.size() * 48 +
         (numbering_.numbers.capacity() + numbering_.frames.capacity()) * sizeof(uint32_t);
}

}  // namespace plimsoll::grammar
