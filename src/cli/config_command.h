// plimsoll config: what the settings file says, and whether it can be meant.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> ConfigCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
