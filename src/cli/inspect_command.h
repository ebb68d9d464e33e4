// The options of plimsoll inspect.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> InspectCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
