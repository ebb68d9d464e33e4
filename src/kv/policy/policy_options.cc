#include "kv/policy/policy_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace plimsoll::kv::policy {
namespace {

tl::unexpected<PolicyProblem> Refuse(std::string_view option, std::string text) {
  return tl::unexpected(PolicyProblem{.option = option, .text = std::move(text)});
}

PolicyResult<void> CheckKeysCanMove(const BlockLayout& layout) {
  for (size_t i = 0; i < layout.n_layers(); ++i) {
    if (layout.is_quantized(i)) {
      return Refuse("positions",
                    fmt::format("can't be compact: keys of layer {} are in {}{}, and only those in "
                                "f16 or bf16 can be moved",
                                i, tensor::NameOf(layout.layer(i).type),
                                layout.layer(i).rotated ? ", rotated" : ""));
    }
  }
  return {};
}

PolicyProblem TooLow(uint64_t least, uint64_t whole, uint32_t n_ctx, bool has_reference) {
  return {.option = "budget",
          .text = fmt::format("is too low: a sequence needs {} (of {} for {} tokens){}",
                              FormatBytes(least), FormatBytes(whole), n_ctx,
                              has_reference ? ", its reference included" : "")};
}

// One block in four is an original, and where the whole context has room as many more as fit. A
// share is one of the context in 16 bits, which a sequence has that quantizes nothing.
PolicyResult<Eviction> MakeArkv(const PolicyOptions& options, const BlockLayout& layout,
                                uint32_t n_ctx) {
  constexpr uint32_t kOneIn = 4;
  if (layout.n_quantized_layers() == 0) {
    return Refuse("policy",
                  "can't be arkv where keys and values are in 16 bits throughout: what it does not "
                  "keep so gets the type of --kv-type, which has to be q8 or q4");
  }
  if (layout.originals_per_block() == 0) {
    return Refuse("policy",
                  "can't be arkv: this model has too few layers for a block to have room for one "
                  "of them in 16 bits. Take block");
  }
  const uint64_t n_whole = BlockPool::BlocksFor(n_ctx);
  const auto originals_of = [](uint64_t n_slot_blocks) {
    return std::max<uint64_t>(Eviction::kLeastOriginals, n_slot_blocks / kOneIn);
  };
  const auto with = [&](uint64_t n_slot_blocks, uint64_t n_originals) {
    return n_slot_blocks + layout.BlocksForOriginals(n_originals) + layout.n_query_blocks();
  };
  const uint64_t whole = n_whole * layout.whole_block_bytes();
  const uint64_t n_may = options.budget->Resolve(whole) / layout.block_bytes();
  uint64_t n_blocks = Eviction::kLeastOriginals + 1;
  if (n_may < with(n_blocks, originals_of(n_blocks))) {
    return tl::unexpected(
        TooLow(with(n_blocks, originals_of(n_blocks)) * layout.block_bytes(), whole, n_ctx, false));
  }
  while (n_blocks < n_whole && with(n_blocks + 1, originals_of(n_blocks + 1)) <= n_may) {
    ++n_blocks;
  }
  uint64_t n_originals = originals_of(n_blocks);
  while (n_originals < n_blocks && with(n_blocks, n_originals + 1) <= n_may) {
    ++n_originals;
  }
  return Eviction(PolicyKind::kArkv, static_cast<uint32_t>(n_blocks), {},
                  static_cast<uint32_t>(n_originals));
}

}  // namespace

std::string_view NameOf(PolicyKind kind) {
  constexpr std::array<std::string_view, kNPolicyKinds> kNames = {"full", "window", "block",
                                                                  "snap", "arkv",   "episode"};
  return kNames[static_cast<size_t>(kind)];
}

Result<PolicyKind> ParsePolicy(std::string_view text) {
  for (const PolicyKind kind : {PolicyKind::kFull, PolicyKind::kWindow, PolicyKind::kBlock,
                                PolicyKind::kSnap, PolicyKind::kArkv, PolicyKind::kEpisode}) {
    if (text == NameOf(kind)) {
      return kind;
    }
  }
  return Fail(ErrorKind::kUsage, "\"{}\" is not one of full, window, block, snap, arkv, episode",
              text);
}

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
  if (options.kind != PolicyKind::kWindow && options.reference.is_given()) {
    return Refuse("reference", "goes with the policy window");
  }
  if (options.kind != PolicyKind::kWindow && options.positions != Positions::kKept) {
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
  if (GathersSlots(options.kind) && layout.n_open_blocks() > 0) {
    return Refuse("policy",
                  fmt::format("can't be {} where keys are quantized: it keeps tokens one by one, "
                              "and their scales are shared by 32. Take block, or f16",
                              NameOf(options.kind)));
  }
  if (options.kind == PolicyKind::kArkv) {
    return MakeArkv(options, layout, n_ctx);
  }
  if (options.positions == Positions::kCompact) {
    if (auto checked = CheckKeysCanMove(layout); !checked) {
      return tl::unexpected(checked.error());
    }
  }
  const uint64_t n_whole = layout.BlocksOfSequence(n_ctx);
  const uint64_t n_blocks = std::min(
      options.budget->Resolve(n_whole * layout.block_bytes()) / layout.block_bytes(), n_whole);
  const auto n_sinks = static_cast<uint32_t>(
      std::max<uint64_t>(1, BlockPool::BlocksFor(std::min(options.reference.n_tokens, n_ctx))));
  const uint64_t n_beside = BlocksBeside(layout, Eviction(options.kind, 0));
  const uint64_t n_least = Eviction::LeastBudget(n_sinks) + n_beside;
  if (n_blocks < n_least) {
    return tl::unexpected(
        TooLow(n_least * layout.block_bytes(), n_whole * layout.block_bytes(), n_ctx, n_sinks > 1));
  }
  return Eviction(options.kind, static_cast<uint32_t>(n_blocks - n_beside),
                  {.positions = options.positions,
                   .n_sinks = n_sinks,
                   .keeps_prompt = options.reference.is_prompt});
}

uint64_t BlocksBeside(const BlockLayout& layout, const std::optional<Eviction>& eviction) {
  const bool has_originals = eviction && eviction->n_originals() > 0;
  return (has_originals ? layout.BlocksForOriginals(eviction->n_originals())
                        : layout.n_open_blocks()) +
         (eviction && eviction->is_scored() ? layout.n_query_blocks() : 0) +
         (eviction ? eviction->n_look_blocks() : 0);
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
