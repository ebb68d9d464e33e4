// What of a sequence goes when it may only have so many blocks: when, and how much.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace plimsoll::kv {
class BlockLayout;
}  // namespace plimsoll::kv

namespace plimsoll::kv::policy {

// Each is described in the file of its name, kFull apart: there everything stays.
enum class PolicyKind : uint8_t { kFull, kWindow, kBlock, kSnap, kArkv, kEpisode };

inline constexpr size_t kNPolicyKinds = 6;

// At which positions tokens stand whose predecessors are gone.
enum class Positions : uint8_t {
  kKept,     // those of the text
  kCompact,  // one behind another, as StreamingLLM has them: no position is beyond the budget
};

// The terms under which a sequence is limited, and the arithmetic that all policies share: the
// first blocks always stay, mostly one; when a further block would pass the budget, as much as a
// quarter of the others goes at once, whole blocks of slots. Which ones, the policy says
// (kv/policy/policy.h).
//
// With originals a block is in 16 bits when it is begun, for which there is room `n_originals`
// times; when these are used up, half of those that can go are quantized. Such rounds come before
// the budget is used up, and as often then.
//
// What a sequence has is decided by its tokens, its patch prompt and how many blocks it has begun,
// and by nothing else: not by how its tokens came, nor by what happened to it in between.
class Eviction {
 public:
  // The first block, one that is chosen and one that is begun.
  static constexpr uint32_t kLeastOriginals = 3;
  // Beside the sinks a full block and one that is begun.
  [[nodiscard]] static constexpr uint32_t LeastBudget(uint32_t n_sinks = 1) { return n_sinks + 2; }

  struct Terms {
    Positions positions = Positions::kKept;
    uint32_t n_sinks = 1;       // blocks at the beginning that never go, at least 1
    bool keeps_prompt = false;  // these are the blocks of a sequence's first prompt (For)
    // Blocks that a layer has in 16 bits where others are quantized, on average over such layers:
    // at least kLeastOriginals and at most the budget. 0: what is full is quantized.
    uint32_t n_originals = 0;
  };

  // Any kind but kFull. `budget`: blocks that the sequence may have, at least LeastBudget.
  constexpr Eviction(PolicyKind kind, uint32_t budget) : Eviction(kind, budget, Terms()) {}
  constexpr Eviction(PolicyKind kind, uint32_t budget, const Terms& terms)
      : kind_(kind),
        terms_(terms),
        budget_(std::max(budget, LeastBudget(terms.n_sinks))),
        first_round_(terms.n_originals > 0 ? terms.n_originals : budget_),
        stride_(std::max(1U, terms.n_originals > 0 ? (terms.n_originals - 1) / 2
                                                   : (budget_ - terms.n_sinks) / 4)) {}

  // What holds for a sequence whose first prompt has so many blocks, for which there is room.
  [[nodiscard]] constexpr Eviction For(uint32_t n_prompt_blocks) const {
    Terms terms = terms_;
    terms.n_sinks = terms.keeps_prompt ? std::max(1U, n_prompt_blocks) : terms.n_sinks;
    return {kind_, budget_, terms};
  }
  [[nodiscard]] constexpr bool HasRoomFor(uint32_t n_prompt_blocks) const {
    return For(n_prompt_blocks).budget() == budget_;
  }

  [[nodiscard]] constexpr PolicyKind kind() const { return kind_; }
  [[nodiscard]] constexpr Positions positions() const { return terms_.positions; }
  [[nodiscard]] constexpr uint32_t n_sinks() const { return terms_.n_sinks; }
  [[nodiscard]] constexpr bool keeps_prompt() const { return terms_.keeps_prompt; }
  [[nodiscard]] constexpr uint32_t n_originals() const { return terms_.n_originals; }
  // Those that stay so in a round.
  [[nodiscard]] constexpr uint32_t n_kept_originals() const { return terms_.n_originals - stride_; }
  [[nodiscard]] constexpr uint32_t budget() const { return budget_; }
  // As the policy's type says (kv/policy/policy_type.h).
  [[nodiscard]] bool is_scored() const;
  [[nodiscard]] bool has_patch() const;
  // Blocks that are scored together: all that a sequence may have, and one of a patch prompt.
  [[nodiscard]] uint64_t scored_blocks() const { return uint64_t{budget_} + (has_patch() ? 1 : 0); }

  // How often room was made in a sequence that has begun so many blocks.
  [[nodiscard]] constexpr uint32_t Rounds(uint32_t n_begun) const {
    return n_begun <= first_round_ ? 0 : (n_begun - first_round_ + stride_ - 1) / stride_;
  }
  // The number of its blocks that are gone.
  [[nodiscard]] constexpr uint32_t Dropped(uint32_t n_begun) const {
    const uint32_t end = NextRound(n_begun);
    return end <= budget_ ? 0 : end - budget_;
  }
  [[nodiscard]] constexpr uint32_t Kept(uint32_t n_begun) const {
    return n_begun - Dropped(n_begun);
  }
  // How many blocks can be begun behind so many before room must be made.
  [[nodiscard]] constexpr uint32_t Room(uint32_t n_begun) const {
    return NextRound(n_begun) - n_begun;
  }

 private:
  // The number of blocks behind which room must be made next.
  [[nodiscard]] constexpr uint32_t NextRound(uint32_t n_begun) const {
    return first_round_ + Rounds(n_begun) * stride_;
  }

  PolicyKind kind_;
  Terms terms_;
  uint32_t budget_;
  uint32_t first_round_;  // the number of blocks behind which room must be made first
  uint32_t stride_;       // and from then on
};

// Blocks that a sequence has beside those of its slots: of keys and values in 16 bits (the open
// ones, or those of originals), then those of queries, then the one in which a patch prompt is
// computed.
[[nodiscard]] uint64_t BlocksBeside(const BlockLayout& layout,
                                    const std::optional<Eviction>& eviction);

}  // namespace plimsoll::kv::policy
