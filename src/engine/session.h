// One sequence of an engine: tokens in, tokens out.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/engine_state.h"
#include "kv/kv_sequence.h"

namespace plimsoll::engine {

// Reserves a KV cache of the engine's n_ctx tokens. `state` outlives the session.
[[nodiscard]] Result<std::unique_ptr<Session>> MakeSession(EngineState& state);

}  // namespace plimsoll::engine
