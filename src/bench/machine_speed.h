// How fast this machine is, for the cost model: what was measured on it before, or is now.
#pragma once

#include <optional>

#include "bench/machine_peak.h"
#include "engine/cost_model.h"
#include "engine/planner.h"

namespace plimsoll::bench {

// Without a disk. By the kind of the model's weights.
[[nodiscard]] engine::MachineSpeed SpeedFrom(const MachinePeak& peak,
                                             const engine::Planner& planner);

// Measures nothing; nothing when memory or the model's disk never were (plimsoll doctor does).
[[nodiscard]] std::optional<engine::MachineSpeed> KnownSpeed(const engine::Planner& planner);

}  // namespace plimsoll::bench
