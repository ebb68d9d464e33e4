// How fast one sequence could decode at best, as a running engine stands: what it reaches is held
// against that.
#pragma once

#include <optional>

#include "engine/cost_model.h"
#include "engine/engine.h"

namespace plimsoll::engine {

struct DecodeBound {
  TokenWork work;  // of a token, usually in the middle of the context
  MachineSpeed speed;

  // With the share of misses that decoding has had so far; before its first token as if every
  // expert were as likely as any other. `paging` and `streaming` are the engine's; nothing where
  // all is resident.
  [[nodiscard]] DecodeCost Now(const std::optional<PagingSnapshot>& paging,
                               const std::optional<StreamingSnapshot>& streaming) const;
};

}  // namespace plimsoll::engine
