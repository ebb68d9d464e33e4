#include "kv/kv_sequence.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::kv {

// Blocks are immutable once full, and a partly filled one is copied before a sharer writes to it,
// so keeping references is all that a snapshot needs.
class KvSequence::Saved final : public StateSnapshot {
 public:
  Saved(BlockPool& pool, const Parts& parts, std::optional<RecurrentStates> states)
      : pool_(pool),
        blocks_(parts.blocks.begin(), parts.blocks.end()),
        positions_(parts.positions.begin(), parts.positions.end()),
        open_blocks_(parts.open_blocks.begin(), parts.open_blocks.end()),
        originals_(parts.originals.begin(), parts.originals.end()),
        open_idx_(parts.open_idx),
        n_dropped_(parts.n_dropped),
        n_rounds_(parts.n_rounds),
        moved_(parts.moved),
        states_(std::move(states)) {
    ForEachBlock([this](BlockId block) { pool_.AddReference(block); });
  }
  Saved(const Saved&) = delete;
  Saved& operator=(const Saved&) = delete;
  ~Saved() override {
    ForEachBlock([this](BlockId block) { pool_.DropReference(block); });
  }

  [[nodiscard]] Parts parts() const {
    return {.blocks = blocks_,
            .positions = positions_,
            .open_blocks = open_blocks_,
            .originals = originals_,
            .open_idx = open_idx_,
            .n_dropped = n_dropped_,
            .n_rounds = n_rounds_,
            .moved = moved_};
  }
  // Nobody writes to what it has.
  [[nodiscard]] const std::optional<RecurrentStates>& states() const { return states_; }

 private:
  template <class F>
  void ForEachBlock(const F& f) const {
    std::ranges::for_each(blocks_, f);
    std::ranges::for_each(open_blocks_, f);
  }

  BlockPool& pool_;
  std::vector<BlockId> blocks_;
  std::vector<uint32_t> positions_;
  std::vector<BlockId> open_blocks_;
  std::vector<uint32_t> originals_;
  uint32_t open_idx_;
  uint32_t n_dropped_;
  uint32_t n_rounds_;
  std::optional<Moved> moved_;
  std::optional<RecurrentStates> states_;
};

KvSequence::KvSequence(BlockPool& pool, uint32_t max_tokens, uint32_t n_expected)
    : pool_(pool), max_tokens_(max_tokens) {
  blocks_.reserve(BlockPool::BlocksFor(n_expected));
  block_table_.reserve(BlockPool::BlocksFor(n_expected));
  positions_.reserve(n_expected);
  if (pool.layout().is_recurrent()) {
    states_.emplace(pool);
  }
}

KvSequence::~KvSequence() {
  DropBlocksFrom(0);
  DropOpenBlocks();
  std::ranges::for_each(reserved_, [this](BlockId block) { pool_.DropReference(block); });
}

void KvSequence::LimitTo(const policy::Eviction& eviction, policy::SlotScorer* scorer) {
  Invariant(n_tokens() == 0, "a sequence is limited while it is empty");
  Invariant(!states_, "a sequence with a state keeps all of its tokens");
  Invariant(eviction.is_scored() == (scorer != nullptr), "a policy has a scorer if it needs one");
  eviction_ = eviction;
  scorer_ = scorer;
  policy_ = policy::MakePolicy(eviction, layout(), scorer);
  choice_.gone.reserve(eviction.budget());
  choice_.rewritten.reserve(eviction.budget());
  if (eviction.n_originals() > 0) {
    originals_.emplace(layout(), eviction.n_originals(), eviction.budget());
    original_memory_.reserve(originals_->n_memory_blocks());
  }
}

uint32_t KvSequence::DroppedOf(uint32_t n_tokens) const {
  const auto n_begun = static_cast<uint32_t>(BlockPool::BlocksFor(n_tokens));
  return eviction_ ? eviction_->Dropped(n_begun) * kBlockTokens : 0;
}

uint32_t KvSequence::RoundsOf(uint32_t n_tokens) const {
  const auto n_begun = static_cast<uint32_t>(BlockPool::BlocksFor(n_tokens));
  return eviction_ ? eviction_->Rounds(n_begun) : 0;
}

// What is left of the last block goes with the blocks that were there when it was begun; blocks are
// dropped when the next one begins.
uint32_t KvSequence::AppendRoom() const {
  if (!eviction_) {
    return max_tokens_ - n_tokens();
  }
  const auto n_begun = static_cast<uint32_t>(BlockPool::BlocksFor(n_tokens()));
  const uint32_t n_left = n_begun * kBlockTokens - n_tokens();
  uint32_t n_blocks = eviction_->Room(n_begun);
  if (n_blocks == 0 && n_left == 0) {
    n_blocks = eviction_->Room(n_begun + 1) + 1;
  }
  return std::min(n_left + n_blocks * kBlockTokens, max_tokens_ - n_tokens());
}

AppendOutcome KvSequence::Append(uint32_t n, uint32_t first_position) {
  if (n > max_tokens_ - n_tokens()) {
    return AppendOutcome::kNoRoom;
  }
  Invariant(n <= AppendRoom(), "tokens are appended as far as the budget has room");
  if (const uint32_t n_rounds = RoundsOf(n_tokens() + n); n_rounds > n_rounds_) {
    if (!MakeRoom((DroppedOf(n_tokens() + n) - n_dropped_) / kBlockTokens)) {
      return AppendOutcome::kNoRoom;
    }
    n_rounds_ = n_rounds;
  }
  const auto old_slots = static_cast<uint32_t>(positions_.size());
  if (!UnshareLastBlock() || !UnshareMovedBlocks() || !OwnOpenBlocks() ||
      (states_ && !states_->Own())) {
    return AppendOutcome::kNoRoom;
  }
  const size_t old_blocks = blocks_.size();
  while (blocks_.size() < BlockPool::BlocksFor(uint64_t{old_slots} + n)) {
    const auto block = TakeBlock();
    if (!block) {
      DropBlocksFrom(old_blocks);
      return AppendOutcome::kNoRoom;
    }
    PushBlock(*block);
    if (originals_) {
      originals_->Add(static_cast<uint32_t>(blocks_.size() - 1));
      originals_->Point(static_cast<uint32_t>(blocks_.size() - 1), pool_.Data(*block));
    }
  }
  const uint32_t n_before = is_compact() ? n_dropped_ : 0;
  for (uint32_t i = 0; i < n; ++i) {
    positions_.push_back(first_position + i - n_before);
  }
  return AppendOutcome::kAppended;
}

bool KvSequence::SharesPartOfABlock() const {
  const auto slot = static_cast<uint32_t>(positions_.size() % kBlockTokens);
  return slot != 0 && !pool_.IsWritableFrom(blocks_.back(), slot);
}

uint64_t KvSequence::BlocksToAppend(uint32_t n) const {
  const uint32_t n_dropped = DroppedOf(n_tokens() + n);
  const uint64_t n_blocks = BlockPool::BlocksFor(uint64_t{n_tokens()} + n - n_dropped);
  const bool moves = is_compact() && (n_dropped > n_dropped_ || moved_);
  const uint64_t n_at_hand = blocks_.size() + reserved_.size();
  return (n_blocks > n_at_hand ? n_blocks - n_at_hand : 0) +
         (moves ? SharedBlocksBehind((n_dropped - n_dropped_) / kBlockTokens) : 0U) +
         (SharesPartOfABlock() ? 1 : 0) + (LacksOpenBlocks() ? n_blocks_beside() : 0) +
         BlocksToRewrite(n) + (states_ ? states_->BlocksToOwn() : 0);
}

uint64_t KvSequence::BlocksToReserve(uint32_t n_tokens) const {
  const uint64_t n_at_hand = blocks_.size() + reserved_.size();
  const uint64_t n_most =
      originals_ ? std::min<uint64_t>(BlockPool::BlocksFor(n_tokens), eviction_->budget()) : 0;
  return n_most > n_at_hand ? n_most - n_at_hand : 0;
}

void KvSequence::Reserve(uint32_t n_tokens) {
  for (uint64_t n = BlocksToReserve(n_tokens); n > 0; --n) {
    const auto block = pool_.Allocate();
    Invariant(block.has_value(), "what is reserved is there");
    reserved_.push_back(*block);
  }
}

std::optional<BlockId> KvSequence::TakeBlock() {
  if (reserved_.empty()) {
    return pool_.Allocate();
  }
  const BlockId block = reserved_.back();
  reserved_.pop_back();
  return block;
}

bool KvSequence::LacksOpenBlocks() const {
  return n_blocks_beside() > 0 &&
         (open_blocks_.empty() || pool_.n_references(open_blocks_.front()) > 1);
}

bool KvSequence::OwnOpenBlocks() {
  if (!LacksOpenBlocks()) {
    return true;
  }
  std::vector<BlockId> own;
  while (own.size() < n_blocks_beside()) {
    const auto block = pool_.Allocate();
    if (!block) {
      std::ranges::for_each(own, [this](BlockId taken) { pool_.DropReference(taken); });
      return false;
    }
    own.push_back(*block);
  }
  for (size_t i = 0; i < open_blocks_.size(); ++i) {
    std::memcpy(pool_.Data(own[i]), pool_.Data(open_blocks_[i]), pool_.layout().block_bytes());
  }
  const uint32_t open_idx = open_idx_;
  DropOpenBlocks();
  open_blocks_ = std::move(own);
  open_idx_ = open_idx;
  PointToOriginals();
  return true;
}

void KvSequence::PointToOriginals() {
  if (!originals_) {
    return;
  }
  original_memory_.clear();
  for (size_t i = 0; i < originals_->n_memory_blocks(); ++i) {
    original_memory_.push_back(pool_.Data(open_blocks_[i]));
  }
  originals_->SetMemory(original_memory_);
}

uint32_t KvSequence::PassTokens(uint32_t first, uint32_t n) const {
  if (originals_) {
    return n;
  }
  const uint32_t end = first + n;
  const uint32_t last_full = end / kBlockTokens * kBlockTokens;
  const bool is_two_parts = first % kBlockTokens != 0 && last_full > first && last_full < end;
  return pool_.layout().n_open_blocks() > 0 && is_two_parts ? last_full - first : n;
}

void KvSequence::BeginPass(uint32_t first, uint32_t n) {
  if (states_) {
    Invariant(first == states_->n_tokens(), "a pass goes on where the state is");
    states_->BeginPass(n);
  }
  if (pool_.layout().n_open_blocks() == 0 || originals_) {
    return;
  }
  Invariant(first + n <= positions_.size() && n == PassTokens(first, n),
            "a pass leaves one block that is not full");
  if (first % kBlockTokens != 0) {
    Invariant(open_idx_ == first / kBlockTokens, "a block is filled from its beginning");
  } else if ((first + n) % kBlockTokens != 0) {
    open_idx_ = (first + n) / kBlockTokens;
  }
}

void KvSequence::EndPass() {
  if (states_) {
    states_->EndPass();
  }
}

bool KvSequence::UnshareLastBlock() { return !SharesPartOfABlock() || Unshare(blocks_.size() - 1); }

bool KvSequence::Unshare(size_t idx) {
  const auto copy = pool_.Allocate();
  if (!copy) {
    return false;
  }
  std::memcpy(pool_.Data(*copy), pool_.Data(blocks_[idx]), pool_.layout().block_bytes());
  pool_.DropReference(blocks_[idx]);
  blocks_[idx] = *copy;
  block_table_[idx] = pool_.Data(*copy);
  if (originals_) {
    originals_->Point(static_cast<uint32_t>(idx), pool_.Data(*copy));
  }
  return true;
}

void KvSequence::Truncate(uint32_t n) {
  if (n >= n_tokens()) {
    return;
  }
  Invariant(n == Keepable(n), "a sequence ends where it can go on");
  if (policy_ != nullptr) {
    policy_->ForgetLooks();
  }
  if (states_) {
    states_->Truncate(n);
  }
  const uint32_t n_slots = n <= n_sink_tokens() ? n : SlotOf(n);
  positions_.resize(n_slots);
  DropBlocksFrom(BlockPool::BlocksFor(n_slots));
  n_dropped_ = n - n_slots;
  n_rounds_ = RoundsOf(n);
  if (moved_) {
    moved_->end = std::min(moved_->end, n_slots);
    moved_ = moved_->end <= moved_->first ? std::nullopt : moved_;
  }
  if (open_idx_ != kNoBlock && n_slots <= open_idx_ * kBlockTokens) {
    open_idx_ = kNoBlock;
  }
  if (n == 0) {
    DropOpenBlocks();
  }
}

uint32_t KvSequence::Keepable(uint32_t n) const {
  n = std::min(n, n_tokens());
  const auto whole_or_open = [this](uint32_t end) {
    const uint32_t slot = end <= n_sink_tokens() ? end : SlotOf(end);
    const bool goes_on = pool_.layout().n_open_blocks() == 0 || originals_.has_value() ||
                         slot / kBlockTokens == open_idx_;
    return goes_on ? end : end / kBlockTokens * kBlockTokens;
  };
  n = whole_or_open(n);
  if (states_) {
    return states_->Keepable(n);
  }
  return RoundsOf(n) == n_rounds_ ? n : whole_or_open(std::min(n, n_sink_tokens()));
}

std::unique_ptr<SequenceState> KvSequence::Fork() const {
  auto fork = std::make_unique<KvSequence>(pool_, max_tokens_, n_tokens());
  if (eviction_) {
    fork->LimitTo(*eviction_, scorer_);
  }
  fork->Adopt(parts());
  if (states_) {
    const bool has_room = fork->states_->CopyFrom(*states_);
    Invariant(has_room, "there is room for the state of a fork");
  }
  return fork;
}

std::unique_ptr<KvSequence> KvSequence::OfBlocks(BlockPool& pool, uint32_t max_tokens,
                                                 std::span<const BlockId> blocks, uint32_t n_tokens,
                                                 std::shared_ptr<StateBlocks> state) {
  Invariant(blocks.size() == BlockPool::BlocksFor(n_tokens), "blocks hold the tokens, and no more");
  Invariant(pool.layout().n_open_blocks() == 0 || n_tokens % kBlockTokens == 0,
            "blocks that are quantized are full");
  auto sequence = std::make_unique<KvSequence>(pool, max_tokens, n_tokens);
  std::vector<uint32_t> positions(n_tokens);
  std::iota(positions.begin(), positions.end(), 0U);
  sequence->Adopt({.blocks = blocks, .positions = positions, .open_blocks = {}, .originals = {}});
  if (sequence->states_) {
    sequence->states_->StartFrom(n_tokens, std::move(state));
  }
  return sequence;
}

void KvSequence::ReplaceBlock(size_t idx, BlockId block) {
  pool_.AddReference(block);
  pool_.DropReference(blocks_[idx]);
  blocks_[idx] = block;
  block_table_[idx] = pool_.Data(block);
}

std::unique_ptr<StateSnapshot> KvSequence::Snapshot() const {
  std::optional<RecurrentStates> states;
  if (states_) {
    const bool has_room = states.emplace(pool_).CopyFrom(*states_);
    Invariant(has_room, "there is room for the state of a snapshot");
  }
  return std::make_unique<Saved>(pool_, parts(), std::move(states));
}

void KvSequence::Restore(const StateSnapshot& snapshot) {
  const auto* saved = dynamic_cast<const Saved*>(&snapshot);
  Invariant(saved != nullptr, "a KV sequence is restored from a KV snapshot");
  Adopt(saved->parts());
  if (states_) {
    const bool has_room = states_->CopyFrom(*saved->states());
    Invariant(has_room, "there is room for the state of a snapshot");
  }
}

void KvSequence::Adopt(const Parts& parts) {
  for (const BlockId block : parts.blocks) {
    pool_.AddReference(block);
  }
  for (const BlockId block : parts.open_blocks) {
    pool_.AddReference(block);
  }
  DropBlocksFrom(0);
  DropOpenBlocks();
  for (const BlockId block : parts.blocks) {
    PushBlock(block);
  }
  positions_.assign(parts.positions.begin(), parts.positions.end());
  open_blocks_.assign(parts.open_blocks.begin(), parts.open_blocks.end());
  open_idx_ = parts.open_idx;
  n_dropped_ = parts.n_dropped;
  n_rounds_ = parts.n_rounds;
  moved_ = parts.moved;
  if (policy_ != nullptr) {
    policy_->ForgetLooks();
  }
  if (originals_) {
    originals_->Restore(parts.originals);
    if (!open_blocks_.empty()) {
      PointToOriginals();
    }
    for (size_t i = 0; i < blocks_.size(); ++i) {
      originals_->Point(static_cast<uint32_t>(i), pool_.Data(blocks_[i]));
    }
  }
}

void KvSequence::PushBlock(BlockId block) {
  blocks_.push_back(block);
  block_table_.push_back(pool_.Data(block));
}

void KvSequence::DropBlocksFrom(size_t first) {
  for (size_t i = first; i < blocks_.size(); ++i) {
    pool_.DropReference(blocks_[i]);
    if (originals_) {
      originals_->RemoveBlock(static_cast<uint32_t>(i));
    }
  }
  blocks_.resize(first);
  block_table_.resize(first);
}

void KvSequence::DropOpenBlocks() {
  std::ranges::for_each(open_blocks_, [this](BlockId block) { pool_.DropReference(block); });
  open_blocks_.clear();
  open_idx_ = kNoBlock;
}

}  // namespace plimsoll::kv
