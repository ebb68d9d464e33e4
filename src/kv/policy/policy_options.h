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

struct PolicyOptions {
  PolicyKind kind = PolicyKind::kFull;
  // Of a sequence: bytes, or a share of what one of the whole context takes. Every policy but
  // kFull wants one.
  std::optional<SizeSpec> budget;
  Positions positions = Positions::kKept;  // of kWindow

  // Answers may differ from those with everything kept.
  [[nodiscard]] bool is_lossy() const { return kind != PolicyKind::kFull; }
  // "full", "window 25%", "window 25% compact"
  [[nodiscard]] std::string Text() const;
};

// "kept" or "compact". kUsage for anything else.
[[nodiscard]] Result<Positions> ParsePositions(std::string_view text);

// "25%", "512 MiB"
[[nodiscard]] std::string BudgetText(const SizeSpec& budget);

// kUsage for a policy without a budget, a budget without a policy, and what is another policy's.
[[nodiscard]] Result<> Check(const PolicyOptions& options);
// What the options ask to evict; nothing for kFull. kUsage as Check, with what would do for a
// budget that is too small, and where keys that would have to move to other positions cannot:
// quantized ones would be rounded to a few bits anew each time, those that are turned
// (Precision::rotate) have RoPE's pairs no more.
[[nodiscard]] Result<std::optional<Eviction>> MakeEviction(const PolicyOptions& options,
                                                           const BlockLayout& layout,
                                                           uint32_t n_ctx);

}  // namespace plimsoll::kv::policy
