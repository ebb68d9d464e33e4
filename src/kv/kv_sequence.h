// The keys and values of one sequence: a table of blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kv/block_pool.h"
#include "kv/originals.h"
#include "kv/policy/eviction.h"
#include "kv/policy/policy.h"
#include "kv/policy/slot_scorer.h"
#include "kv/recurrent_states.h"
#include "kv/sequence_state.h"

namespace plimsoll::kv {

// Slot s of the sequence is slot s % kBlockTokens of its block s / kBlockTokens. A slot's logical
// position is stored, not implied. Invariant: a slot is written only while nobody else uses it;
// a block of which somebody does is copied first.
//
// Where layers are quantized (BlockLayout), those of the last block are in the open blocks while it
// is being filled, in 16 bits; each pass says which tokens it computes (BeginPass). What was
// quantized cannot be continued in its middle: see Keepable.
//
// Or, under terms with originals (policy::Eviction), every block is in 16 bits from its first token
// on, and the policy decides later in which layers it is quantized.
//
// Where layers are recurrent (BlockLayout::Layer::state), it ends and is cut only where there is a
// state (RecurrentStates).
//
// With a budget (LimitTo) some tokens have no slot any more: whole blocks of them are gone, and the
// slots behind these have moved down. Tokens are counted with those that are gone, slots without.
// Where positions are compact (policy::Positions) a slot is its token's position; keys whose
// positions have changed are still those of the old ones until who computes them turns them
// (TakeMoved).
//
// What goes its policy decides (policy::Policy), perhaps by tokens that are none of the sequence's:
// who computes has them look at it first, a block at a time (BeginLook).
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
    return static_cast<uint32_t>(positions_.size()) + n_dropped_;
  }
  // From here on the sequence, which is empty, has at most the budget's blocks, beside the open
  // ones and those of its queries. A policy that is scored has a scorer, which outlives the
  // sequence.
  void LimitTo(const policy::Eviction& eviction, policy::SlotScorer* scorer = nullptr);
  // Tokens that have no slot any more.
  [[nodiscard]] uint32_t n_dropped() const { return n_dropped_; }
  // The slot of a token that has one; of n_tokens() the next one.
  [[nodiscard]] uint32_t SlotOf(uint32_t token) const {
    return token < n_sink_tokens() ? token : token - n_dropped_;
  }
  // Where a token that has a slot stands.
  [[nodiscard]] uint32_t PositionOf(uint32_t token) const {
    return is_compact() ? SlotOf(token) : token;
  }
  // Slots [first, end), whose keys are of positions that are `distance` before those that they have
  // by now.
  struct Moved {
    uint32_t first = 0;
    uint32_t end = 0;
    int64_t distance = 0;
  };
  // What was moved since the last call: to be turned before a pass. Nobody else uses its blocks.
  [[nodiscard]] std::optional<Moved> TakeMoved();
  // How many tokens may be appended at once.
  [[nodiscard]] uint32_t AppendRoom() const;
  // At most AppendRoom() tokens. With a budget it may drop blocks first, also when there is no room
  // then because others use these too. Where positions are compact, `first_position` is where the
  // tokens would stand if none were gone.
  [[nodiscard]] AppendOutcome Append(uint32_t n, uint32_t first_position) override;
  // n is Keepable.
  void Truncate(uint32_t n) override;
  // Whether appending n tokens makes something go that a patch prompt decides, and none has looked
  // yet.
  [[nodiscard]] bool WantsLook(uint32_t n) const {
    return policy_ != nullptr && policy_->WantsLook() && DroppedOf(n_tokens() + n) > n_dropped_;
  }
  // Room for kBlockTokens further tokens behind the newest, in slots and at positions as if they
  // were appended: to be computed, and forgotten again. False, and nothing changed, when others use
  // blocks that it needs for itself, and the pool has none. Nobody else is looked at before what
  // goes is gone.
  [[nodiscard]] bool BeginLook();
  // Without them again. If they were computed, what they look at counts when something goes next,
  // together with what others did since something went; if not, nothing that looked since counts.
  void EndLook(bool is_computed);
  // The most of the first n tokens that Truncate can keep: where layers are quantized, whole blocks
  // and what is in the open ones; where layers are recurrent, those behind which there is a state;
  // with a budget, those that have all that a sequence of so many
  // tokens would have.
  [[nodiscard]] uint32_t Keepable(uint32_t n) const;
  // Where layers are recurrent the pool must have room for a copy of the state; so too for a
  // snapshot, and to restore it.
  [[nodiscard]] std::unique_ptr<SequenceState> Fork() const override;
  // A sequence of `n_tokens` tokens at positions 0 and on, whose keys and values are in these
  // blocks. Where layers are quantized, these are full; where layers are recurrent, `state` is
  // theirs behind these tokens.
  [[nodiscard]] static std::unique_ptr<KvSequence> OfBlocks(
      BlockPool& pool, uint32_t max_tokens, std::span<const BlockId> blocks, uint32_t n_tokens,
      std::shared_ptr<StateBlocks> state = nullptr);
  // Blocks that Append(n) would take from the pool.
  [[nodiscard]] uint64_t BlocksToAppend(uint32_t n) const;
  // Takes blocks from the pool ahead, so that Append finds those of the slots of n_tokens tokens
  // there, where it appends them in several calls and has fewer of them until then (originals). The
  // pool has BlocksToReserve of them free.
  void Reserve(uint32_t n_tokens);
  [[nodiscard]] uint64_t BlocksToReserve(uint32_t n_tokens) const;
  [[nodiscard]] std::unique_ptr<StateSnapshot> Snapshot() const override;
  void Restore(const StateSnapshot& snapshot) override;
  [[nodiscard]] uint64_t Bytes(uint32_t n_tokens) const override {
    return pool_.layout().BlocksOfSequence(n_tokens) * pool_.layout().block_bytes();
  }

  // How many of the next n tokens, the first of which goes to slot `first`, one pass may compute:
  // fewer where layers are quantized and the pass would begin within a block and end within
  // another, since there is room for one that is not full.
  [[nodiscard]] uint32_t PassTokens(uint32_t first, uint32_t n) const;
  // A pass writes slots [first, first + n): no more than PassTokens. When it fails, Truncate(first)
  // or the same pass again finds everything as it was.
  void BeginPass(uint32_t first, uint32_t n);
  // The pass that was begun has succeeded.
  void EndPass();
  // Null where no layer is recurrent.
  [[nodiscard]] RecurrentStates* states() { return states_ ? &*states_ : nullptr; }
  [[nodiscard]] const RecurrentStates* states() const { return states_ ? &*states_ : nullptr; }

  [[nodiscard]] std::span<const BlockId> blocks() const { return blocks_; }
  // Uses another block with the same keys and values instead of its own.
  void ReplaceBlock(size_t idx, BlockId block);

  [[nodiscard]] const BlockLayout& layout() const { return pool_.layout(); }
  // Logical position of each slot, ascending. Where heads keep slots of their own (snap), those of
  // blocks that slots were gathered in have the positions that they had when the sequence was first
  // full.
  [[nodiscard]] std::span<const uint32_t> positions() const { return positions_; }
  // Start of each block, for kernels. Valid until the next call that changes the sequence.
  [[nodiscard]] std::span<const std::byte* const> block_table() const { return block_table_; }
  [[nodiscard]] std::byte* MutableBlock(uint32_t slot) const {
    return pool_.Data(blocks_[slot / kBlockTokens]);
  }
  static constexpr uint32_t kNoBlock = ~0U;
  // The block whose quantized layers are in the open blocks, as far as it was computed; kNoBlock:
  // none is.
  [[nodiscard]] uint32_t open_idx() const { return open_idx_; }
  // Whether the query of a token in this slot is kept for the scorer. The same slots are asked
  // about from one eviction to the next: those of the block behind which room must be made, and of
  // one that looks.
  [[nodiscard]] bool KeepsQueryOf(uint32_t slot) const {
    const auto is_last = [&](uint32_t block) {
      return block == eviction_->budget() ||
             eviction_->Room(n_dropped_ / kBlockTokens + block + 1) == 0;
    };
    return scorer_ != nullptr && is_last(slot / kBlockTokens);
  }
  // A head's queries of that block.
  [[nodiscard]] std::byte* Queries(size_t layer_idx, uint32_t head) const {
    const BlockLayout::Place place = layout().queries(layer_idx, head);
    return At({.block = n_f16_blocks() + place.block, .offset = place.offset});
  }
  // Beside the blocks of its slots: the open ones or those of originals, those of its queries, and
  // the one that looks.
  [[nodiscard]] std::span<const BlockId> open_blocks() const { return open_blocks_; }
  // A head's keys or values of that block.
  [[nodiscard]] std::byte* OpenKeys(size_t layer_idx, uint32_t kv_head) const {
    return At(layout().open_k(layer_idx, kv_head));
  }
  [[nodiscard]] std::byte* OpenValues(size_t layer_idx, uint32_t kv_head) const {
    return At(layout().open_v(layer_idx, kv_head));
  }
  // Null: there are none, and what is full is quantized.
  [[nodiscard]] const Originals* originals() const { return originals_ ? &*originals_ : nullptr; }
  // One that is quantized by now, where it is.
  void RemoveOriginal(size_t layer_idx, uint32_t block) { originals_->Remove(layer_idx, block); }
  // A head's keys or values of an original.
  [[nodiscard]] std::byte* OriginalKeys(size_t layer_idx, uint32_t kv_head, uint32_t block) const {
    return AtOriginal(layer_idx, block, layout().original_k(layer_idx, kv_head));
  }
  [[nodiscard]] std::byte* OriginalValues(size_t layer_idx, uint32_t kv_head,
                                          uint32_t block) const {
    return AtOriginal(layer_idx, block, layout().original_v(layer_idx, kv_head));
  }

 private:
  class Saved;

  // Blocks at the beginning that never go, and their tokens.
  [[nodiscard]] uint32_t n_sinks() const { return eviction_ ? eviction_->n_sinks() : 1; }
  [[nodiscard]] uint32_t n_sink_tokens() const { return n_sinks() * kBlockTokens; }

  // What a sequence is made of.
  struct Parts {
    std::span<const BlockId> blocks;
    std::span<const uint32_t> positions;
    std::span<const BlockId> open_blocks;
    std::span<const uint32_t> originals = {};
    uint32_t open_idx = kNoBlock;
    uint32_t n_dropped = 0;
    uint32_t n_rounds = 0;
    std::optional<Moved> moved = std::nullopt;
  };
  [[nodiscard]] Parts parts() const {
    return {.blocks = blocks_,
            .positions = positions_,
            .open_blocks = open_blocks_,
            .originals = originals_ ? originals_->places() : std::span<const uint32_t>(),
            .open_idx = open_idx_,
            .n_dropped = n_dropped_,
            .n_rounds = n_rounds_,
            .moved = moved_};
  }
  [[nodiscard]] bool is_compact() const {
    return eviction_ && eviction_->positions() == policy::Positions::kCompact;
  }
  // What a sequence of so many tokens has dropped, and how often it made room.
  [[nodiscard]] uint32_t DroppedOf(uint32_t n_tokens) const;
  [[nodiscard]] uint32_t RoundsOf(uint32_t n_tokens) const;
  // Makes room by so many blocks, as the policy says; every slot is computed. False, and nothing
  // changed, when the pool has no block for a copy.
  [[nodiscard]] bool MakeRoom(uint32_t n_blocks);
  // Copies that this makes at most when n tokens are appended: of blocks that others use too.
  [[nodiscard]] uint64_t BlocksToRewrite(uint32_t n) const;
  // Blocks by their index, ascending.
  void DropBlocks(std::span<const uint32_t> gone);
  // Where positions are compact, after so many tokens before those were dropped.
  void MoveBehindSinks(uint32_t distance);
  void Adopt(const Parts& parts);
  // Puts a copy of its own in the place of a block. False when the pool has none for it.
  [[nodiscard]] bool Unshare(size_t idx);
  [[nodiscard]] bool UnshareLastBlock();
  // Those whose keys are to be turned.
  [[nodiscard]] bool UnshareMovedBlocks();
  // Behind the sinks and, where they go, `n_gone` further ones.
  [[nodiscard]] uint64_t SharedBlocksBehind(size_t n_gone) const;
  [[nodiscard]] bool SharesPartOfABlock() const;
  // The same for open blocks, which are to be its own.
  [[nodiscard]] bool OwnOpenBlocks();
  [[nodiscard]] bool LacksOpenBlocks() const;
  [[nodiscard]] uint32_t n_blocks_beside() const {
    return static_cast<uint32_t>(policy::BlocksBeside(layout(), eviction_));
  }
  // Of these, the first: those of keys and values.
  [[nodiscard]] uint32_t n_f16_blocks() const {
    return originals_ ? originals_->n_memory_blocks() : layout().n_open_blocks();
  }
  [[nodiscard]] std::byte* AtOriginal(size_t layer_idx, uint32_t block,
                                      BlockLayout::OriginalPlace place) const {
    return (place.in_block ? originals_->in_blocks(layer_idx)
                           : originals_->beside(layer_idx))[block] +
           place.offset;
  }
  // Of open_blocks_, which have changed.
  void PointToOriginals();
  [[nodiscard]] std::byte* At(BlockLayout::Place place) const {
    return pool_.Data(open_blocks_[place.block]) + place.offset;
  }
  // One that was reserved, else the pool's.
  [[nodiscard]] std::optional<BlockId> TakeBlock();
  void PushBlock(BlockId block);
  void DropBlocksFrom(size_t first);
  void DropOpenBlocks();

  BlockPool& pool_;
  uint32_t max_tokens_;
  std::vector<BlockId> blocks_;
  std::vector<BlockId> reserved_;              // for blocks that are yet to come
  std::vector<const std::byte*> block_table_;  // Data() of blocks_
  std::vector<uint32_t> positions_;            // one a slot
  std::vector<BlockId> open_blocks_;           // n_blocks_beside(), or none yet
  uint32_t open_idx_ = kNoBlock;
  std::optional<policy::Eviction> eviction_;
  policy::SlotScorer* scorer_ = nullptr;
  std::unique_ptr<policy::Policy> policy_;  // null where there is no eviction_
  policy::Choice choice_;
  std::optional<Originals> originals_;       // where eviction_ has any
  std::vector<std::byte*> original_memory_;  // where its open blocks are
  uint32_t n_dropped_ = 0;                   // whole blocks
  uint32_t n_rounds_ = 0;                    // how often room was made
  std::optional<Moved> moved_;
  std::optional<RecurrentStates> states_;  // where layers are recurrent
};

}  // namespace plimsoll::kv
