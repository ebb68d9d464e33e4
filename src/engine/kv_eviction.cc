#include "engine/kv_eviction.h"

#include <algorithm>

#include "kv/policy/policy_type.h"

namespace plimsoll::engine {
namespace {

bool HasSlidingWindow(const model::Model& model, uint32_t n_ctx) {
  return std::ranges::any_of(model.hyper_params().layers, [n_ctx](const model::LayerParams& layer) {
    return layer.ForgetsWithin(n_ctx);
  });
}

}  // namespace

kv::policy::PolicyResult<std::optional<kv::policy::Eviction>> EvictionFor(
    const kv::policy::PolicyOptions& options, const model::Model& model, uint32_t n_ctx) {
  if (TypeOf(options.kind).gathers_slots && HasSlidingWindow(model, n_ctx)) {
    return tl::unexpected(kv::policy::PolicyProblem{
        .option = "policy",
        .text = fmt::format("can't be {} for a model whose layers have a sliding window. Take "
                            "block, or a context as short as that",
                            NameOf(options.kind))});
  }
  return kv::policy::MakeEviction(options, model.KvLayout(), n_ctx);
}

model::ScorerRoom ScorerRoomFor(const std::optional<kv::policy::Eviction>& eviction) {
  if (!eviction || !eviction->is_scored()) {
    return {};
  }
  return {.max_slots = eviction->scored_blocks() * kv::kBlockTokens,
          .merges = eviction->has_patch()};
}

model::ScorerRoom RequestScorerRoom(const model::Model& model, uint32_t n_ctx) {
  // A patch prompt's policy is refused, of any request, where heads can't have tokens of their own.
  const bool may_gather = model.KvLayout().n_open_blocks() == 0 && !HasSlidingWindow(model, n_ctx);
  return {.max_slots = kv::BlockPool::BlocksFor(n_ctx) * kv::kBlockTokens, .merges = may_gather};
}

}  // namespace plimsoll::engine
