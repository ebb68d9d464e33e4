#include "kv/policy/policy_options.h"

#include <array>

namespace plimsoll::kv::policy {
namespace {

Result<> CheckKeysCanMove(const BlockLayout& layout) {
  for (size_t i = 0; i < layout.n_layers(); ++i) {
    if (layout.is_quantized(i)) {
      return Fail(ErrorKind::kUsage,
                  "--kv-positions compact: keys of layer {} are in {}{}, and only those in f16 or "
                  "bf16 can be moved to other positions",
                  i, tensor::NameOf(layout.layer(i).type),
                  layout.layer(i).rotated ? ", rotated" : "");
    }
  }
  return {};
}

}  // namespace

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
  std::string text(NameOf(kind));
  if (budget) {
    text += " " + BudgetText(*budget);
  }
  if (positions == Positions::kCompact) {
    text += " compact";
  }
  return text;
}

Result<Positions> ParsePositions(std::string_view text) {
  if (text == "kept") {
    return Positions::kKept;
  }
  if (text == "compact") {
    return Positions::kCompact;
  }
  return Fail(ErrorKind::kUsage, "\"{}\" is not one of kept, compact", text);
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
  if (options.kind != PolicyKind::kWindow && options.positions != Positions::kKept) {
    return Fail(ErrorKind::kUsage, "--kv-positions compact goes with --kv-policy window");
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
  if (options.positions == Positions::kCompact) {
    if (auto checked = CheckKeysCanMove(layout); !checked) {
      return Forward(checked);
    }
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
  return Eviction(options.kind, static_cast<uint32_t>(n_blocks - layout.n_open_blocks()),
                  options.positions);
}

}  // namespace plimsoll::kv::policy
