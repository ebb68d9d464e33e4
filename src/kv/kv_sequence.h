// The keys and values of one sequence: a table of blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/block_pool.h"
#include "kv/sequence_state.h"

namespace plimsoll::kv {

// Slot s of the sequence is slot s % kBlockTokens of its block s / kBlockTokens. A slot's logical
// position is stored, not implied. Invariant: a slot is written only while nobody else uses it;
// a block of which somebody does is copied first.
class KvSequence final : public SequenceState {
 public:
  // `pool` outlives the sequence. The tables have room for `max_tokens` from the start, so that a
  // step allocates nothing.
  KvSequence(BlockPool& pool, uint32_t max_tokens) : KvSequence(pool, max_tokens, max_tokens) {}
  // The same for the first `n_expected` tokens: for one sequence of many, each of which may become
  // long.
  KvSequence(BlockPool& pool, uint32_t max_tokens, uint32_t n_expected);
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;
  ~KvSequence() override;

  [[nodiscard]] uint32_t n_tokens() const override {
    return static_cast<uint32_t>(positions_.size());
  }
  [[nodiscard]] AppendOutcome Append(uint32_t n, uint32_t first_position) override;
  void Truncate(uint32_t n) override;
  [[nodiscard]] std::unique_ptr<SequenceState> Fork() const override;
  // A sequence of `n_tokens` tokens at positions 0 and on, whose keys and values are in these
  // blocks.
  [[nodiscard]] static std::unique_ptr<KvSequence> OfBlocks(BlockPool& pool, uint32_t max_tokens,
                                                            std::span<const BlockId> blocks,
                                                            uint32_t n_tokens);
  // Blocks that Append(n) would take from the pool.
  [[nodiscard]] uint64_t BlocksToAppend(uint32_t n) const;
  [[nodiscard]] std::unique_ptr<StateSnapshot> Snapshot() const override;
  void Restore(const StateSnapshot& snapshot) override;
  [[nodiscard]] uint64_t Bytes(uint32_t n_tokens) const override {
    return BlockPool::BlocksFor(n_tokens) * pool_.layout().block_bytes();
  }

  [[nodiscard]] std::span<const BlockId> blocks() const { return blocks_; }
  // Uses another block with the same keys and values instead of its own.
  void ReplaceBlock(size_t idx, BlockId block);

  [[nodiscard]] const BlockLayout& layout() const { return pool_.layout(); }
  // Logical position of each slot, ascending.
  [[nodiscard]] std::span<const uint32_t> positions() const { return positions_; }
  // Start of each block, for kernels. Valid until the next call that changes the sequence.
  [[nodiscard]] std::span<const std::byte* const> block_table() const { return block_table_; }
  [[nodiscard]] std::byte* MutableBlock(uint32_t slot) const {
    return pool_.Data(blocks_[slot / kBlockTokens]);
  }

 private:
  class Saved;

  void Adopt(std::span<const BlockId> blocks, std::span<const uint32_t> positions);
  // False when the pool has no block for the copy.
  [[nodiscard]] bool UnshareLastBlock();
  [[nodiscard]] bool SharesPartOfABlock() const;
  void PushBlock(BlockId block);
  void DropBlocksFrom(size_t first);

  BlockPool& pool_;
  uint32_t max_tokens_;
  std::vector<BlockId> blocks_;
  std::vector<const std::byte*> block_table_;  // Data() of blocks_
  std::vector<uint32_t> positions_;            // one a slot
};

}  // namespace plimsoll::kv
