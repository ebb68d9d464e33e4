// `plimsoll pack`: a model's experts, one aligned and checksummed record each.
#pragma once

#include <string>

#include "cli/command.h"
#include "engine/pack_model.h"

namespace plimsoll::cli {

Result<> PackCommand(std::vector<std::string> args, const CommandContext& context);

[[nodiscard]] std::string PackText(const engine::PackedModel& packed, double seconds);
// One object, and a newline.
[[nodiscard]] std::string PackJson(const engine::PackedModel& packed, double seconds);

}  // namespace plimsoll::cli
