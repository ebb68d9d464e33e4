// What of a sequence goes when it may only have so many blocks: when, and how much.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace plimsoll::kv::policy {

enum class PolicyKind : uint8_t {
  kFull,     // everything stays
  kWindow,   // the first tokens and the newest
  kBlock,    // these, and the blocks between them that get most attention
  kSnap,     // these, and of each head the tokens between them that get most attention
  kArkv,     // as kBlock, but some of them quantized: in each layer those that get least
  kEpisode,  // as kSnap, but it is the attention of a patch prompt that counts
};

inline constexpr size_t kNPolicyKinds = 6;

// At which positions tokens stand whose predecessors are gone.
enum class Positions : uint8_t {
  kKept,     // those of the text
  kCompact,  // one behind another, as StreamingLLM has them: no position is beyond the budget
};

// What goes is decided by attention: a sequence keeps the queries of a block, beside its slots.
[[nodiscard]] constexpr bool IsScored(PolicyKind kind) {
  return kind == PolicyKind::kBlock || kind == PolicyKind::kSnap || kind == PolicyKind::kArkv ||
         kind == PolicyKind::kEpisode;
}

// Heads keep slots of their own: keys and values are moved one by one, away from where a sliding
// window would look for them.
[[nodiscard]] constexpr bool GathersSlots(PolicyKind kind) {
  return kind == PolicyKind::kSnap || kind == PolicyKind::kEpisode;
}

// What goes for kWindow alone.
struct WindowOptions {
  Positions positions = Positions::kKept;
  uint32_t n_sinks = 1;       // blocks at the beginning that never go, at least 1
  bool keeps_prompt = false;  // these are the blocks of a sequence's first prompt (For)
};

// The arithmetic that all policies share: the first blocks always stay, mostly one; when a further
// block would pass the budget, as much as a quarter of the others goes at once, whole blocks of
// slots. Which ones, the kind says:
//
// kWindow: the oldest. Attention sinks and a window, after Xiao et al., "Efficient Streaming
// Language Models with Attention Sinks", ICLR 2024 (StreamingLLM), in whole blocks. With more than
// one block of sinks it is the attention to a reference and a window that Unlimited OCR's models
// were trained with (R-SWA, 2026), on models that were not.
//
// kBlock: those to which the newest block's queries attend least (kv/policy/block_choice.h).
//
// kSnap: the slots of each head to which they attend least (kv/policy/slot_choice.h).
//
// kArkv: those that kBlock would drop, and beside that each layer quantizes some of the others
// (kv/policy/original_choice.h). A block is an original when it is begun, for which there is room
// `n_originals` times; when these are used up, half of those that can go are quantized. Such rounds
// come before the budget is used up, and as often then.
//
// kEpisode: as kSnap, by the queries of a patch prompt, which is computed behind the newest block,
// a block of it at a time, whenever something is to go (kv/policy/episodes.h); where there is none,
// by those of the newest block.
//
// What a sequence has is decided by its tokens, its patch prompt and how many blocks it has begun,
// and by nothing else: not by how its tokens came, nor by what happened to it in between.
class Eviction {
 public:
  // The first block, one that is chosen and one that is begun.
  static constexpr uint32_t kLeastOriginals = 3;
  // Beside the sinks a full block and one that is begun.
  [[nodiscard]] static constexpr uint32_t LeastBudget(uint32_t n_sinks = 1) { return n_sinks + 2; }

  // Any kind but kFull. `budget`: blocks that the sequence may have, at least LeastBudget.
  // `n_originals`: of kArkv, at least kLeastOriginals and at most the budget.
  constexpr Eviction(PolicyKind kind, uint32_t budget, const WindowOptions& window = {},
                     uint32_t n_originals = 0)
      : kind_(kind),
        window_(window),
        budget_(std::max(budget, LeastBudget(window.n_sinks))),
        n_originals_(n_originals),
        first_round_(n_originals > 0 ? n_originals : budget_),
        stride_(std::max(
            1U, n_originals > 0 ? (n_originals - 1) / 2 : (budget_ - window.n_sinks) / 4)) {}

  // What holds for a sequence whose first prompt has so many blocks, for which there is room.
  [[nodiscard]] constexpr Eviction For(uint32_t n_prompt_blocks) const {
    WindowOptions window = window_;
    window.n_sinks = window.keeps_prompt ? std::max(1U, n_prompt_blocks) : window.n_sinks;
    return Eviction(kind_, budget_, window, n_originals_);
  }
  [[nodiscard]] constexpr bool HasRoomFor(uint32_t n_prompt_blocks) const {
    return For(n_prompt_blocks).budget() == budget_;
  }

  [[nodiscard]] constexpr PolicyKind kind() const { return kind_; }
  [[nodiscard]] constexpr Positions positions() const { return window_.positions; }
  [[nodiscard]] constexpr uint32_t n_sinks() const { return window_.n_sinks; }
  [[nodiscard]] constexpr bool keeps_prompt() const { return window_.keeps_prompt; }
  [[nodiscard]] constexpr uint32_t budget() const { return budget_; }
  [[nodiscard]] constexpr bool is_scored() const { return IsScored(kind_); }
  // Blocks that are scored together: all that a sequence may have, and a block that looks at them.
  [[nodiscard]] constexpr uint64_t scored_blocks() const {
    return uint64_t{budget_} + n_look_blocks();
  }
  // Beside these, where a patch prompt is computed.
  [[nodiscard]] constexpr uint32_t n_look_blocks() const {
    return kind_ == PolicyKind::kEpisode ? 1 : 0;
  }
  // Blocks that a layer has in 16 bits where others are quantized, on average over such layers.
  [[nodiscard]] constexpr uint32_t n_originals() const { return n_originals_; }
  // Those that stay so in a round.
  [[nodiscard]] constexpr uint32_t n_kept_originals() const { return n_originals_ - stride_; }
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
  WindowOptions window_;
  uint32_t budget_;
  uint32_t n_originals_;
  uint32_t first_round_;  // the number of blocks behind which room must be made first
  uint32_t stride_;       // and from then on
};

}  // namespace plimsoll::kv::policy
