#include "kv/policy/policy_options.h"

#include <array>

namespace plimsoll::kv::policy {

std::string_view NameOf(PolicyKind kind) {
  constexpr std::array<std::string_view, 2> kNames = {"full", "window"};
  return kNames[static_cast<size_t>(kind)];
}

Result<PolicyKind> ParsePolicy(std::string_view text) {
  for (const PolicyKind kind : {PolicyKind::kFull, PolicyKind::kWindow}) {
    if (text == NameOf(kind)) {
      return kind;
    }
  }
  return Fail(ErrorKind::kUsage, "\"{}\" is not one of full, window", text);
}

std::string PolicyOptions::Text() const {
  const std::string name(NameOf(kind));
  return budget ? fmt::format("{} {}", name, BudgetText(*budget)) : name;
}

std::string BudgetText(const SizeSpec& budget) {
  return budget.percent > 0 ? fmt::format("{}%", budget.percent) : FormatBytes(budget.bytes);
}

Result<> Check(const PolicyOptions& options) {
  if (options.is_lossy() && !options.budget) {
    return Fail(ErrorKind::kUsage, "--kv-policy {} wants a budget: --kv-budget 25%, or 512M",
                NameOf(options.kind));
  }
  if (!options.is_lossy() && options.budget) {
    return Fail(ErrorKind::kUsage,
                "--kv-budget goes with a policy that keeps to it: --kv-policy window");
  }
  return {};
}

Result<std::optional<Eviction>> MakeEviction(const PolicyOptions& options,
                                             const BlockLayout& layout, uint32_t n_ctx) {
  if (auto checked = Check(options); !checked) {
    return Forward(checked);
  }
  if (!options.is_lossy()) {
    return std::nullopt;
  }
  const uint64_t n_whole = layout.BlocksOfSequence(n_ctx);
  const uint64_t n_blocks = std::min(
      options.budget->Resolve(n_whole * layout.block_bytes()) / layout.block_bytes(), n_whole);
  const uint64_t n_least = Eviction::kLeastBudget + layout.n_open_blocks();
  if (n_blocks < n_least) {
    return Fail(ErrorKind::kUsage, "--kv-budget: a sequence needs {} (of {} for {} tokens)",
                FormatBytes(n_least * layout.block_bytes()),
                FormatBytes(n_whole * layout.block_bytes()), n_ctx);
  }
  return Eviction(options.kind, static_cast<uint32_t>(n_blocks - layout.n_open_blocks()));
}

}  // namespace plimsoll::kv::policy
