// Which keys and values of a sequence stay, as users say it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "kv/block_pool.h"
#include "kv/policy/eviction.h"

namespace plimsoll::kv::policy {

[[nodiscard]] std::string_view NameOf(PolicyKind kind);
// "window". kUsage with the names that there are.
[[nodiscard]] Result<PolicyKind> ParsePolicy(std::string_view text);

// Which tokens at the beginning stay beside a window, in whole blocks; the first block always does.
struct Reference {
  uint32_t n_tokens = 0;
  bool is_prompt = false;  // those of a sequence's first prompt instead

  [[nodiscard]] bool is_given() const { return n_tokens > 0 || is_prompt; }
};

struct PolicyOptions {
  PolicyKind kind = PolicyKind::kFull;
  // Of a sequence: bytes, or a share of what one of the whole context takes; of kArkv, in 16 bits.
  // Every policy but kFull wants one.
  std::optional<SizeSpec> budget;
  Reference reference;  // of kWindow, as the next
  Positions positions = Positions::kKept;

  // Answers may differ from those with everything kept.
  [[nodiscard]] bool is_lossy() const { return kind != PolicyKind::kFull; }
  // "full", "window 25%", "window 25% reference prompt compact"
  [[nodiscard]] std::string Text() const;
};

// "prompt", or a number of tokens. kUsage for anything else.
[[nodiscard]] Result<Reference> ParseReference(std::string_view text);
// "kept" or "compact". kUsage for anything else.
[[nodiscard]] Result<Positions> ParsePositions(std::string_view text);

// "25%", "512 MiB"
[[nodiscard]] std::string BudgetText(const SizeSpec& budget);

// What is wrong, and with which option: "budget" is --kv-budget, or a request's "kv_budget". The
// text goes on behind the option's name.
struct PolicyProblem {
  std::string_view option;
  std::string text;

  [[nodiscard]] Error ForCommandLine() const;  // kUsage
};
template <class T>
using PolicyResult = tl::expected<T, PolicyProblem>;

// A policy without a budget, a budget without a policy, and what is another policy's.
[[nodiscard]] PolicyResult<void> Check(const PolicyOptions& options);
// What the options ask to evict; nothing for kFull. A problem as Check, with what would do for a
// budget that is too small, also for the reference, and where the policy can't be with such a
// layout.
[[nodiscard]] PolicyResult<std::optional<Eviction>> MakeEviction(const PolicyOptions& options,
                                                                 const BlockLayout& layout,
                                                                 uint32_t n_ctx);
// The same for a sequence whose first prompt has so many tokens. A problem where these are to stay
// and leave no room for a window.
[[nodiscard]] PolicyResult<Eviction> ForPrompt(const Eviction& eviction, uint64_t n_prompt);

}  // namespace plimsoll::kv::policy
