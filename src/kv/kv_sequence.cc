#include "kv/kv_sequence.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/invariant.h"

namespace plimsoll::kv {

// Blocks are immutable once full, and a partly filled one is copied before a sharer writes to it,
// so keeping references is all that a snapshot needs.
class KvSequence::Saved final : public StateSnapshot {
 public:
  Saved(BlockPool& pool, const std::vector<BlockId>& blocks, const std::vector<uint32_t>& positions)
      : pool_(pool), blocks_(blocks), positions_(positions) {
    for (const BlockId block : blocks_) {
      pool_.AddReference(block);
    }
  }
  Saved(const Saved&) = delete;
  Saved& operator=(const Saved&) = delete;
  ~Saved() override {
    for (const BlockId block : blocks_) {
      pool_.DropReference(block);
    }
  }

  [[nodiscard]] const std::vector<BlockId>& blocks() const { return blocks_; }
  [[nodiscard]] const std::vector<uint32_t>& positions() const { return positions_; }

 private:
  BlockPool& pool_;
  std::vector<BlockId> blocks_;
  std::vector<uint32_t> positions_;
};

KvSequence::KvSequence(BlockPool& pool, uint32_t max_tokens, uint32_t n_expected)
    : pool_(pool), max_tokens_(max_tokens) {
  blocks_.reserve(BlockPool::BlocksFor(n_expected));
  block_table_.reserve(BlockPool::BlocksFor(n_expected));
  positions_.reserve(n_expected);
}

KvSequence::~KvSequence() { DropBlocksFrom(0); }

AppendOutcome KvSequence::Append(uint32_t n, uint32_t first_position) {
  const uint32_t old_tokens = n_tokens();
  if (n > max_tokens_ - old_tokens || !UnshareLastBlock()) {
    return AppendOutcome::kNoRoom;
  }
  const size_t old_blocks = blocks_.size();
  while (blocks_.size() < BlockPool::BlocksFor(uint64_t{old_tokens} + n)) {
    const auto block = pool_.Allocate();
    if (!block) {
      DropBlocksFrom(old_blocks);
      return AppendOutcome::kNoRoom;
    }
    PushBlock(*block);
  }
  for (uint32_t i = 0; i < n; ++i) {
    positions_.push_back(first_position + i);
  }
  return AppendOutcome::kAppended;
}

bool KvSequence::SharesPartOfABlock() const {
  const uint32_t slot = n_tokens() % kBlockTokens;
  return slot != 0 && !pool_.IsWritableFrom(blocks_.back(), slot);
}

uint64_t KvSequence::BlocksToAppend(uint32_t n) const {
  return BlockPool::BlocksFor(uint64_t{n_tokens()} + n) - blocks_.size() +
         (SharesPartOfABlock() ? 1 : 0);
}

bool KvSequence::UnshareLastBlock() {
  if (!SharesPartOfABlock()) {
    return true;
  }
  const auto copy = pool_.Allocate();
  if (!copy) {
    return false;
  }
  std::memcpy(pool_.Data(*copy), pool_.Data(blocks_.back()), pool_.layout().block_bytes());
  pool_.DropReference(blocks_.back());
  blocks_.back() = *copy;
  block_table_.back() = pool_.Data(*copy);
  return true;
}

void KvSequence::Truncate(uint32_t n) {
  if (n < n_tokens()) {
    positions_.resize(n);
    DropBlocksFrom(BlockPool::BlocksFor(n));
  }
}

std::unique_ptr<SequenceState> KvSequence::Fork() const {
  auto fork = std::make_unique<KvSequence>(pool_, max_tokens_, n_tokens());
  fork->Adopt(blocks_, positions_);
  return fork;
}

std::unique_ptr<KvSequence> KvSequence::OfBlocks(BlockPool& pool, uint32_t max_tokens,
                                                 std::span<const BlockId> blocks,
                                                 uint32_t n_tokens) {
  Invariant(blocks.size() == BlockPool::BlocksFor(n_tokens), "blocks hold the tokens, and no more");
  auto sequence = std::make_unique<KvSequence>(pool, max_tokens, n_tokens);
  std::vector<uint32_t> positions(n_tokens);
  std::iota(positions.begin(), positions.end(), 0U);
  sequence->Adopt(blocks, positions);
  return sequence;
}

void KvSequence::ReplaceBlock(size_t idx, BlockId block) {
  pool_.AddReference(block);
  pool_.DropReference(blocks_[idx]);
  blocks_[idx] = block;
  block_table_[idx] = pool_.Data(block);
}

std::unique_ptr<StateSnapshot> KvSequence::Snapshot() const {
  return std::make_unique<Saved>(pool_, blocks_, positions_);
}

void KvSequence::Restore(const StateSnapshot& snapshot) {
  const auto* saved = dynamic_cast<const Saved*>(&snapshot);
  Invariant(saved != nullptr, "a KV sequence is restored from a KV snapshot");
  Adopt(saved->blocks(), saved->positions());
}

void KvSequence::Adopt(std::span<const BlockId> blocks, std::span<const uint32_t> positions) {
  for (const BlockId block : blocks) {
    pool_.AddReference(block);
  }
  DropBlocksFrom(0);
  for (const BlockId block : blocks) {
    PushBlock(block);
  }
  positions_.assign(positions.begin(), positions.end());
}

void KvSequence::PushBlock(BlockId block) {
  blocks_.push_back(block);
  block_table_.push_back(pool_.Data(block));
}

void KvSequence::DropBlocksFrom(size_t first) {
  for (size_t i = first; i < blocks_.size(); ++i) {
    pool_.DropReference(blocks_[i]);
  }
  blocks_.resize(first);
  block_table_.resize(first);
}

}  // namespace plimsoll::kv
