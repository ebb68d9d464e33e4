#include "kv/recurrent_states.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::kv {

std::shared_ptr<StateBlocks> StateBlocks::Allocate(BlockPool& pool) {
  const uint32_t n = pool.layout().n_state_blocks();
  if (pool.n_free() < n) {
    return nullptr;
  }
  std::shared_ptr<StateBlocks> state(new StateBlocks(pool));
  state->blocks_.reserve(n);
  while (state->blocks_.size() < n) {
    state->blocks_.push_back(*pool.Allocate());
  }
  return state;
}

std::shared_ptr<StateBlocks> StateBlocks::Share(BlockPool& pool, std::span<const BlockId> blocks) {
  Invariant(blocks.size() == pool.layout().n_state_blocks(), "a state has all of its blocks");
  std::shared_ptr<StateBlocks> state(new StateBlocks(pool));
  state->blocks_.assign(blocks.begin(), blocks.end());
  std::ranges::for_each(blocks, [&pool](BlockId block) { pool.AddReference(block); });
  return state;
}

StateBlocks::~StateBlocks() {
  std::ranges::for_each(blocks_, [this](BlockId block) { pool_.DropReference(block); });
}

void StateBlocks::CopyTo(const StateBlocks& other) const {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    std::memcpy(pool_.Data(other.blocks_[i]), pool_.Data(blocks_[i]), pool_.layout().block_bytes());
  }
}

bool RecurrentStates::CopyFrom(const RecurrentStates& other) {
  std::shared_ptr<StateBlocks> copy;
  if (other.now_ != nullptr) {
    copy = StateBlocks::Allocate(pool_);
    if (copy == nullptr) {
      return false;
    }
    other.now_->CopyTo(*copy);
  }
  marks_.clear();
  StartFrom(other.n_tokens_, std::move(copy));
  return true;
}

void RecurrentStates::StartFrom(uint32_t n_tokens, std::shared_ptr<StateBlocks> state) {
  Invariant((n_tokens == 0) == (state == nullptr), "only that of no tokens is no state");
  UnmarkBefore(n_tokens + 1);
  SetNow(n_tokens, std::move(state));
}

void RecurrentStates::StartFromMark(uint32_t n_tokens, const std::shared_ptr<StateBlocks>& state) {
  StartFrom(n_tokens, state);
  marks_.insert(marks_.begin(), {.n_tokens = n_tokens, .state = state});
}

void RecurrentStates::SetNow(uint32_t n_tokens, std::shared_ptr<StateBlocks> state) {
  n_tokens_ = n_tokens;
  std::swap(now_, state);
  if (state != nullptr && IsOwn(state)) {
    spares_.push_back(std::move(state));
  }
}

uint64_t RecurrentStates::BlocksToOwn() const {
  const size_t n_wanted = n_spares_wanted();
  return (n_wanted - std::min(n_wanted, spares_.size())) * pool_.layout().n_state_blocks();
}

bool RecurrentStates::Own() {
  while (spares_.size() < n_spares_wanted()) {
    auto state = StateBlocks::Allocate(pool_);
    if (state == nullptr) {
      return false;
    }
    spares_.push_back(std::move(state));
  }
  return true;
}

bool RecurrentStates::Mark(uint32_t n_tokens) {
  Invariant(n_tokens > n_tokens_ && n_tokens % kBlockTokens == 0,
            "a state is marked before it is computed, at the end of a block");
  const auto at = std::ranges::lower_bound(marks_, n_tokens, {}, &MarkedState::n_tokens);
  if (at != marks_.end() && at->n_tokens == n_tokens) {
    return true;
  }
  std::shared_ptr<StateBlocks> state;
  if (spares_.size() > n_spares_wanted()) {
    state = std::move(spares_.back());
    spares_.pop_back();
  } else {
    state = StateBlocks::Allocate(pool_);
  }
  if (state == nullptr) {
    return false;
  }
  marks_.insert(at, {.n_tokens = n_tokens, .state = std::move(state)});
  return true;
}

std::vector<RecurrentStates::MarkedState> RecurrentStates::marked() const {
  const auto end = std::ranges::upper_bound(marks_, n_tokens_, {}, &MarkedState::n_tokens);
  return {marks_.begin(), end};
}

RecurrentStates::MarkedState RecurrentStates::LastWhole() const {
  if (n_tokens_ % kBlockTokens == 0) {
    return {.n_tokens = n_tokens_, .state = now_};
  }
  const auto passed = marked();
  return passed.empty() ? MarkedState() : passed.back();
}

void RecurrentStates::UnmarkBefore(uint32_t n_tokens) {
  std::erase_if(marks_, [&](const MarkedState& mark) { return mark.n_tokens < n_tokens; });
}

uint32_t RecurrentStates::Keepable(uint32_t n) const {
  if (n >= n_tokens_) {
    return n;
  }
  const auto behind = std::ranges::upper_bound(marks_, n, {}, &MarkedState::n_tokens);
  return behind == marks_.begin() ? 0 : std::prev(behind)->n_tokens;
}

void RecurrentStates::Truncate(uint32_t n) {
  if (n < n_tokens_) {
    const auto at = std::ranges::find(marks_, n, &MarkedState::n_tokens);
    Invariant(n == 0 || at != marks_.end(), "a state is kept where a sequence is cut");
    SetNow(n, n == 0 ? nullptr : at->state);
  }
  std::erase_if(marks_, [n](const MarkedState& mark) { return mark.n_tokens > n; });
}

void RecurrentStates::BeginPass(uint32_t n) {
  Invariant(spares_.size() >= n_spares_wanted(), "a pass has where to write");
  parts_.clear();
  uint32_t at = n_tokens_;
  const StateBlocks* from = now_.get();
  const auto add = [&](uint32_t end, const StateBlocks* to) {
    parts_.push_back({.n_tokens = end - at, .from = from, .to = to});
    from = to;
    at = end;
  };
  const uint32_t end = n_tokens_ + n;
  for (const MarkedState& mark : marks_) {
    if (mark.n_tokens > n_tokens_ && mark.n_tokens <= end) {
      add(mark.n_tokens, mark.state.get());
    }
  }
  if (at < end) {
    add(end, spares_.back().get());
  }
}

void RecurrentStates::EndPass() {
  uint32_t end = n_tokens_;
  for (const Part& part : parts_) {
    end += part.n_tokens;
  }
  if (parts_.back().to == spares_.back().get()) {
    auto written = std::move(spares_.back());
    spares_.pop_back();
    SetNow(end, std::move(written));
  } else {
    SetNow(end, std::ranges::find(marks_, end, &MarkedState::n_tokens)->state);
  }
  parts_.clear();
}

}  // namespace plimsoll::kv
