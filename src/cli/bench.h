// plimsoll bench: how fast a model runs here, and how near to what the machine can do.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> BenchCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
