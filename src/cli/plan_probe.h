// How a model routes, learned by running it for a while: `plimsoll plan --probe`.
#pragma once

#include "cli/command.h"
#include "cli/engine_options.h"
#include "engine/miss_curve.h"
#include "engine/planner.h"

namespace plimsoll::cli {

// Lets the model under the flags' line go on from a text of our own for some hundred tokens, and
// counts what the default policy would miss of them. What is found is left for later plans. The
// errors of LoadEngine; kUsage when the context is too short to learn from, kFailed when nothing is
// routed or the routing could not be recorded.
[[nodiscard]] Result<engine::MissCurve> ProbeMisses(const EngineFlags& flags,
                                                    const engine::Planner& planner,
                                                    const CommandContext& context);

}  // namespace plimsoll::cli
