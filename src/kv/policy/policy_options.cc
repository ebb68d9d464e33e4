#include "kv/policy/policy_options.h"

#include <charconv>

#include "kv/policy/policy_type.h"

namespace plimsoll::kv::policy {

std::string PolicyOptions::Text() const {
  std::string text(NameOf(kind));
  if (budget) {
    text += " " + BudgetText(*budget);
  }
  if (reference.is_given()) {
    text += reference.is_prompt ? " reference prompt"
                                : fmt::format(" reference {}", reference.n_tokens);
  }
  if (positions == Positions::kCompact) {
    text += " compact";
  }
  return text;
}

Result<Reference> ParseReference(std::string_view text) {
  if (text == "prompt") {
    return Reference{.is_prompt = true};
  }
  uint32_t n_tokens = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n_tokens);
  if (error != std::errc() || end != text.data() + text.size() || n_tokens == 0) {
    return Fail(ErrorKind::kUsage, "\"{}\" is neither prompt nor a number of tokens", text);
  }
  return Reference{.n_tokens = n_tokens};
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

Error PolicyProblem::ForCommandLine() const {
  return {ErrorKind::kUsage, fmt::format("--kv-{} {}", option, text)};
}

PolicyResult<void> Check(const PolicyOptions& options) {
  if (options.is_lossy() && !options.budget) {
    return Refuse("budget",
                  fmt::format("is wanted by the policy {}: 25%, or 512M", NameOf(options.kind)));
  }
  if (!options.is_lossy() && options.budget) {
    return Refuse("budget", "goes with a policy that keeps to it, such as window");
  }
  if (!TypeOf(options.kind).is_window && options.reference.is_given()) {
    return Refuse("reference", "goes with the policy window");
  }
  if (!TypeOf(options.kind).is_window && options.positions != Positions::kKept) {
    return Refuse("positions", "goes with the policy window");
  }
  return {};
}

PolicyResult<std::optional<Eviction>> MakeEviction(const PolicyOptions& options,
                                                   const BlockLayout& layout, uint32_t n_ctx) {
  if (auto checked = Check(options); !checked) {
    return tl::unexpected(checked.error());
  }
  if (!options.is_lossy()) {
    return std::nullopt;
  }
  const PolicyType& type = TypeOf(options.kind);
  if (layout.is_recurrent()) {
    return Refuse("policy", fmt::format("can't be {} for a model with recurrent layers: these keep "
                                        "a state of all tokens, whichever go. Take full",
                                        type.name));
  }
  if (type.gathers_slots && layout.n_open_blocks() > 0) {
    return Refuse("policy",
                  fmt::format("can't be {} where keys are quantized: it keeps tokens one by one, "
                              "and their scales are shared by 32. Take block, or f16",
                              type.name));
  }
  return type.plan(options, layout, n_ctx);
}

PolicyResult<Eviction> ForPrompt(const Eviction& eviction, uint64_t n_prompt) {
  const auto n_blocks = static_cast<uint32_t>(BlockPool::BlocksFor(n_prompt));
  if (!eviction.HasRoomFor(n_blocks)) {
    const uint32_t most = eviction.budget() - Eviction::LeastBudget(0);
    return Refuse(
        "reference",
        fmt::format("can't be a prompt of {} tokens: beside a window, the budget has room "
                    "for {}",
                    n_prompt, most * kBlockTokens));
  }
  return eviction.For(n_blocks);
}

}  // namespace plimsoll::kv::policy
