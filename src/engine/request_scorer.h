// The scorer of requests whose own policies look at attention: made when the first of them begins.
#pragma once

#include <optional>

#include "base/result.h"
#include "engine/engine_state.h"

namespace plimsoll::engine {

// When all that is there from the start has its memory: where the line has room left for that
// scorer, what grows from then on (the KV cache of many requests) leaves it. Where weights are
// paged, these give way when it is wanted.
void KeepRoomForRequestScorer(EngineState& state);

// Before a sequence under this policy begins: its scorer is there (EngineState::ScorerFor). Between
// passes. kDoesNotFit where the line has no room for it.
[[nodiscard]] Result<> ProvideScorer(EngineState& state,
                                     const std::optional<kv::policy::Eviction>& eviction);

}  // namespace plimsoll::engine
