#include "engine/line_target.h"

namespace plimsoll::engine {

LineTarget LineOf(Engine& engine) {
  return {.line = [&engine] { return engine.ledger().budget_bytes; },
          .reserved = [&engine] { return engine.ledger().reserved_bytes; },
          .least = [&engine] { return engine.LeastLine(); },
          .line_for = [&engine](const auto& memory) { return engine.LineFor(memory); },
          .set_line = [&engine](uint64_t bytes) { return engine.SetLine(bytes); }};
}

}  // namespace plimsoll::engine
