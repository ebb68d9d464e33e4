// How a line is shared while an engine runs: what of it can move, and who gives way.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "engine/engine_state.h"
#include "memory/ledger.h"

namespace plimsoll::engine {

// What of the line can move: experts and dense weights that need not be in memory. Everything else
// cannot leave.
struct Movable {
  uint64_t bytes = 0;
  uint64_t needed = 0;  // of these, without which nothing runs
  uint64_t others = 0;  // beside them, and beside what floors keep

  [[nodiscard]] uint64_t least_line() const { return others + needed; }
};
[[nodiscard]] Movable MovableOf(const EngineState& state);

// Between passes. kDoesNotFit for a line that is too low, or too high for the machine.
[[nodiscard]] Result<> MoveLine(EngineState& state, uint64_t line);
// Makes the ledger grant an account `bytes` more: what can move gives way. Between passes.
// kDoesNotFit, and nothing changed, where it has not got so much.
[[nodiscard]] Result<> MakeRoom(EngineState& state, memory::Account account, uint64_t bytes);

}  // namespace plimsoll::engine
