// What of a sequence goes, where the model has a say too.
#pragma once

#include <cstdint>
#include <optional>

#include "kv/policy/policy_options.h"
#include "model/model.h"

namespace plimsoll::engine {

// As kv::policy::MakeEviction; and a problem for kSnap and kEpisode on a model whose layers have a
// sliding window that is shorter than the context: where heads keep tokens of their own, a slot has
// no position that a window could go by. Thread-safe.
[[nodiscard]] kv::policy::PolicyResult<std::optional<kv::policy::Eviction>> EvictionFor(
    const kv::policy::PolicyOptions& options, const model::Model& model, uint32_t n_ctx);

// For the longest sequence that may have to be scored: one under the engine's own policy, or, where
// requests may ask for policies of their own (`batches`), any. No slots: there is none.
[[nodiscard]] model::ScorerRoom ScorerRoomFor(const std::optional<kv::policy::Eviction>& eviction,
                                              bool batches, const model::Model& model,
                                              uint32_t n_ctx);

}  // namespace plimsoll::engine
