// `plimsoll prune`: a model with fewer experts.
#pragma once

#include <string>

#include "cli/command.h"
#include "engine/prune_model.h"

namespace plimsoll::cli {

Result<> PruneCommand(std::vector<std::string> args, const CommandContext& context);

// "25%" or "0.25" of the experts: 0.25. kUsage for none or all of them.
[[nodiscard]] Result<double> ParseRatio(const std::string& text);

// A line for each layer, and what it comes to.
[[nodiscard]] std::string PruneText(const engine::PrunedModel& model, const std::string& output,
                                    double seconds);
// One object, and a newline.
[[nodiscard]] std::string PruneJson(const engine::PrunedModel& model, const std::string& output,
                                    double seconds);

}  // namespace plimsoll::cli
