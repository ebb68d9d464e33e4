#include "kv/policy/policy_type.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kv/policy/policies.h"

namespace plimsoll::kv::policy {
namespace {

constexpr PolicyType kFullType = {.name = "full"};

// In the order of PolicyKind.
constexpr std::array<const PolicyType*, kNPolicyKinds> kTypes = {
    &kFullType, &kWindowType, &kBlockType, &kSnapType, &kArkvType, &kEpisodeType};

}  // namespace

const PolicyType& TypeOf(PolicyKind kind) { return *kTypes[static_cast<size_t>(kind)]; }

std::unique_ptr<Policy> MakePolicy(const Eviction& eviction, const BlockLayout& layout,
                                   SlotScorer* scorer) {
  return TypeOf(eviction.kind()).make(eviction, layout, scorer);
}

std::string PolicyNames() {
  std::string names;
  for (const PolicyType* type : kTypes) {
    names += (names.empty() ? "" : ", ") + std::string(type->name);
  }
  return names;
}

std::string_view NameOf(PolicyKind kind) { return TypeOf(kind).name; }

Result<PolicyKind> ParsePolicy(std::string_view text) {
  const auto found = std::ranges::find(kTypes, text, &PolicyType::name);
  if (found == kTypes.end()) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not one of {}", text, PolicyNames());
  }
  return static_cast<PolicyKind>(found - kTypes.begin());
}

tl::unexpected<PolicyProblem> Refuse(std::string_view option, std::string text) {
  return tl::unexpected(PolicyProblem{.option = option, .text = std::move(text)});
}

tl::unexpected<PolicyProblem> RefuseLow(uint64_t least, uint64_t whole, uint32_t n_ctx,
                                        bool has_reference) {
  return Refuse("budget", fmt::format("is too low: a sequence needs {} (of {} for {} tokens){}",
                                      FormatBytes(least), FormatBytes(whole), n_ctx,
                                      has_reference ? ", its reference included" : ""));
}

PolicyResult<Eviction> PlanBlocks(const PolicyOptions& options, const BlockLayout& layout,
                                  uint32_t n_ctx) {
  const uint64_t n_whole = layout.BlocksOfSequence(n_ctx);
  const uint64_t n_blocks = std::min(
      options.budget->Resolve(n_whole * layout.block_bytes()) / layout.block_bytes(), n_whole);
  const auto n_sinks = static_cast<uint32_t>(
      std::max<uint64_t>(1, BlockPool::BlocksFor(std::min(options.reference.n_tokens, n_ctx))));
  const uint64_t n_beside = BlocksBeside(layout, Eviction(options.kind, 0));
  const uint64_t n_least = Eviction::LeastBudget(n_sinks) + n_beside;
  if (n_blocks < n_least) {
    return RefuseLow(n_least * layout.block_bytes(), n_whole * layout.block_bytes(), n_ctx,
                     n_sinks > 1);
  }
  return Eviction(options.kind, static_cast<uint32_t>(n_blocks - n_beside),
                  {.positions = options.positions,
                   .n_sinks = n_sinks,
                   .keeps_prompt = options.reference.is_prompt});
}

}  // namespace plimsoll::kv::policy
