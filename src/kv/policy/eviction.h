// What of a sequence goes when it may only have so many blocks: when, and how much.
#pragma once

#include <algorithm>
#include <cstdint>

namespace plimsoll::kv::policy {

enum class PolicyKind : uint8_t {
  kFull,    // everything stays
  kWindow,  // the first tokens and the newest
};

// At which positions tokens stand whose predecessors are gone.
enum class Positions : uint8_t {
  kKept,     // those of the text
  kCompact,  // one behind another, as StreamingLLM has them: no position is beyond the budget
};

// The arithmetic that all policies share: the first block always stays; when a further block would
// pass the budget, as much as a quarter of the others goes at once, whole blocks of slots. Which
// ones, the kind says:
//
// kWindow: the oldest. Attention sinks and a window, after Xiao et al., "Efficient Streaming
// Language Models with Attention Sinks", ICLR 2024 (StreamingLLM), in whole blocks.
//
// What a sequence has is decided by its tokens and how many blocks it has begun, and by nothing
// else: not by how its tokens came, nor by what happened to it in between.
class Eviction {
 public:
  static constexpr uint32_t kSinkBlocks = 1;
  static constexpr uint32_t kLeastBudget = 3;  // the sinks, a full block and one that is begun

  // Any kind but kFull. `budget`: blocks that the sequence may have, at least kLeastBudget.
  // `positions` other than kKept are for kWindow alone.
  constexpr Eviction(PolicyKind kind, uint32_t budget, Positions positions = Positions::kKept)
      : kind_(kind),
        positions_(positions),
        budget_(std::max(budget, kLeastBudget)),
        stride_(std::max(1U, (budget_ - kSinkBlocks) / 4)) {}

  [[nodiscard]] constexpr PolicyKind kind() const { return kind_; }
  [[nodiscard]] constexpr Positions positions() const { return positions_; }
  [[nodiscard]] constexpr uint32_t budget() const { return budget_; }
  // Of a sequence that has begun so many blocks, the number of those that are gone.
  [[nodiscard]] constexpr uint32_t Dropped(uint32_t n_begun) const {
    return n_begun <= budget_ ? 0 : (n_begun - budget_ + stride_ - 1) / stride_ * stride_;
  }
  [[nodiscard]] constexpr uint32_t Kept(uint32_t n_begun) const {
    return n_begun - Dropped(n_begun);
  }
  // How many blocks can be begun behind so many before any other goes.
  [[nodiscard]] constexpr uint32_t Room(uint32_t n_begun) const { return budget_ - Kept(n_begun); }

 private:
  PolicyKind kind_;
  Positions positions_;
  uint32_t budget_;
  uint32_t stride_;
};

}  // namespace plimsoll::kv::policy
