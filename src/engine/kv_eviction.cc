#include "engine/kv_eviction.h"

#include <algorithm>

namespace plimsoll::engine {

using kv::policy::PolicyKind;

kv::policy::PolicyResult<std::optional<kv::policy::Eviction>> EvictionFor(
    const kv::policy::PolicyOptions& options, const model::Model& model, uint32_t n_ctx) {
  const auto has_window = [n_ctx](const model::LayerParams& layer) {
    return layer.window != 0 && layer.window < n_ctx;
  };
  if (options.kind == PolicyKind::kSnap &&
      std::ranges::any_of(model.hyper_params().layers, has_window)) {
    return tl::unexpected(kv::policy::PolicyProblem{
        .option = "policy",
        .text = "can't be snap for a model whose layers have a sliding window. Take block, or a "
                "context as short as that"});
  }
  return kv::policy::MakeEviction(options, model.KvLayout(), n_ctx);
}

uint64_t ScorerSlots(const std::optional<kv::policy::Eviction>& eviction, bool batches,
                     uint32_t n_ctx) {
  if (batches) {
    return kv::BlockPool::BlocksFor(n_ctx) * kv::kBlockTokens;
  }
  return eviction && eviction->is_scored() ? uint64_t{eviction->budget()} * kv::kBlockTokens : 0;
}

}  // namespace plimsoll::engine
