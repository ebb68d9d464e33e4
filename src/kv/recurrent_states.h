// What the recurrent layers of a model keep of one sequence: a state of fixed size, in blocks of
// the pool that its keys and values are in too.
//
// A state can't be shortened, only kept. So a pass reads the state before it and writes another
// one, which counts when the pass has succeeded; and a state that is wanted later, at a mark, is
// written aside on the way and stays as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kv/block_pool.h"

namespace plimsoll::kv {

// States that a sequence has room for: those before and behind a pass, and one at a mark.
inline constexpr uint32_t kStatesOfSequence = 3;

// Where a prompt's state is marked: at the end of a block before its last few tokens, in which a
// next prompt that goes on from it may differ, as where an answer begins. 0: it is too short.
inline constexpr uint32_t kMarkMargin = 16;
[[nodiscard]] inline uint32_t LastMarkOf(uint32_t n_prompt) {
  return n_prompt <= kMarkMargin ? 0 : (n_prompt - kMarkMargin) / kBlockTokens * kBlockTokens;
}

// Their blocks.
[[nodiscard]] inline uint64_t BlocksOfStates(const BlockLayout& layout) {
  return uint64_t{layout.n_state_blocks()} * kStatesOfSequence;
}

// The blocks of one state: a reference to each.
class StateBlocks {
 public:
  // Of unspecified content. Null when the pool has too few.
  [[nodiscard]] static std::shared_ptr<StateBlocks> Allocate(BlockPool& pool);
  // Those of a state that somebody keeps.
  [[nodiscard]] static std::shared_ptr<StateBlocks> Share(BlockPool& pool,
                                                          std::span<const BlockId> blocks);
  StateBlocks(const StateBlocks&) = delete;
  StateBlocks& operator=(const StateBlocks&) = delete;
  ~StateBlocks();

  [[nodiscard]] std::span<const BlockId> blocks() const { return blocks_; }
  [[nodiscard]] std::byte* At(BlockLayout::Place place) const {
    return pool_.Data(blocks_[place.block]) + place.offset;
  }
  void CopyTo(const StateBlocks& other) const;
  // Nobody else refers to the blocks, or keeps them.
  [[nodiscard]] bool IsWritable() const { return pool_.IsWritableFrom(blocks_.front(), 0); }

 private:
  explicit StateBlocks(BlockPool& pool) : pool_(pool) {}

  BlockPool& pool_;
  std::vector<BlockId> blocks_;
};

class RecurrentStates {
 public:
  explicit RecurrentStates(BlockPool& pool) : pool_(pool) {}

  // Tokens that the state stands behind.
  [[nodiscard]] uint32_t n_tokens() const { return n_tokens_; }
  // The same state of the same tokens, copied. False when the pool has no room for it.
  [[nodiscard]] bool CopyFrom(const RecurrentStates& other);
  // Goes on from a state behind so many tokens, which stays as it is as long as others have it.
  void StartFrom(uint32_t n_tokens, std::shared_ptr<StateBlocks> state);
  // The same, marked too.
  void StartFromMark(uint32_t n_tokens, const std::shared_ptr<StateBlocks>& state);

  // Blocks that it lacks to compute, and taking them; false when the pool has too few.
  [[nodiscard]] uint64_t BlocksToOwn() const;
  [[nodiscard]] bool Own();

  // From now on the state behind so many tokens, which are not computed yet and end with a block,
  // is kept when it is passed. False when the pool has no blocks for it.
  [[nodiscard]] bool Mark(uint32_t n_tokens);
  struct MarkedState {
    uint32_t n_tokens = 0;
    std::shared_ptr<StateBlocks> state;
  };
  // The marks that are passed, without those that are not.
  [[nodiscard]] std::vector<MarkedState> marked() const;
  // The last state at the end of a block, of the marks and its own. Null: of no tokens.
  [[nodiscard]] MarkedState LastWhole() const;
  // Forgets the marks before so many tokens: theirs are gone, or somebody else's by now.
  void UnmarkBefore(uint32_t n_tokens);

  // The most of the first n tokens behind which there is a state.
  [[nodiscard]] uint32_t Keepable(uint32_t n) const;
  // n is Keepable, or no fewer than n_tokens().
  void Truncate(uint32_t n);

  // A part of a pass: so many tokens from one state (null: of no tokens) to another.
  struct Part {
    uint32_t n_tokens = 0;
    const StateBlocks* from = nullptr;
    const StateBlocks* to = nullptr;
  };
  // The tokens behind n_tokens() are computed. A pass that fails is just not ended.
  void BeginPass(uint32_t n);
  [[nodiscard]] std::span<const Part> parts() const { return parts_; }
  void EndPass();

 private:
  // Whether nobody else has it: then it is overwritten when it is not wanted any more.
  [[nodiscard]] static bool IsOwn(const std::shared_ptr<StateBlocks>& state) {
    return state.use_count() == 1 && state->IsWritable();
  }
  // Where passes write: each takes one, and leaves the state before it, if that is its own.
  [[nodiscard]] size_t n_spares_wanted() const { return now_ != nullptr && IsOwn(now_) ? 1 : 2; }
  void SetNow(uint32_t n_tokens, std::shared_ptr<StateBlocks> state);

  BlockPool& pool_;
  uint32_t n_tokens_ = 0;
  std::shared_ptr<StateBlocks> now_;  // null: of no tokens
  std::vector<std::shared_ptr<StateBlocks>> spares_;
  std::vector<MarkedState> marks_;  // ascending
  std::vector<Part> parts_;         // of the pass
};

}  // namespace plimsoll::kv
