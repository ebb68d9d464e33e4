// What of a sequence goes, where the model has a say too.
#pragma once

#include <cstdint>
#include <optional>

#include "kv/policy/policy_options.h"
#include "model/model.h"

namespace plimsoll::engine {

// As kv::policy::MakeEviction; and a problem for snap and episode on a model whose layers have a
// sliding window that is shorter than the context: where heads keep tokens of their own, a slot has
// no position that a window could go by. Thread-safe.
[[nodiscard]] kv::policy::PolicyResult<std::optional<kv::policy::Eviction>> EvictionFor(
    const kv::policy::PolicyOptions& options, const model::Model& model, uint32_t n_ctx);

// For sequences under the engine's own policy. No slots: they are not scored.
[[nodiscard]] model::ScorerRoom ScorerRoomFor(const std::optional<kv::policy::Eviction>& eviction);
// For those under any policy that a request may ask for.
[[nodiscard]] model::ScorerRoom RequestScorerRoom(const model::Model& model, uint32_t n_ctx);

}  // namespace plimsoll::engine
