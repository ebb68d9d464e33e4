// What there is of policies, by name, and what each says of itself before a sequence is under it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kv/block_pool.h"
#include "kv/policy/eviction.h"
#include "kv/policy/policy.h"
#include "kv/policy/policy_options.h"
#include "kv/policy/slot_scorer.h"

namespace plimsoll::kv::policy {

struct PolicyType {
  std::string_view name;
  // Attention decides what goes: a sequence keeps the queries of a block, beside its slots, and has
  // a scorer.
  bool is_scored = false;
  // Heads keep slots of their own: keys and values are moved one by one, away from where a sliding
  // window would look for them and from those that they share scales with.
  bool gathers_slots = false;
  // A patch prompt decides: it is computed in a block beside the slots, and the scorer keeps what
  // its blocks looked at.
  bool has_patch = false;
  // It takes a reference and positions.
  bool is_window = false;
  // What the options' budget holds. A problem as MakeEviction. Both are null where nothing goes.
  PolicyResult<Eviction> (*plan)(const PolicyOptions& options, const BlockLayout& layout,
                                 uint32_t n_ctx) = nullptr;
  // As MakePolicy.
  std::unique_ptr<Policy> (*make)(const Eviction& eviction, const BlockLayout& layout,
                                  SlotScorer* scorer) = nullptr;
};

[[nodiscard]] const PolicyType& TypeOf(PolicyKind kind);
// "full, window, ..."
[[nodiscard]] std::string PolicyNames();

// For policies' own files.

[[nodiscard]] tl::unexpected<PolicyProblem> Refuse(std::string_view option, std::string text);
// A budget below `least` bytes, of a sequence that would take `whole`.
[[nodiscard]] tl::unexpected<PolicyProblem> RefuseLow(uint64_t least, uint64_t whole,
                                                      uint32_t n_ctx, bool has_reference = false);
// As many blocks as the budget holds, of what a sequence of the whole context would take.
[[nodiscard]] PolicyResult<Eviction> PlanBlocks(const PolicyOptions& options,
                                                const BlockLayout& layout, uint32_t n_ctx);

}  // namespace plimsoll::kv::policy
