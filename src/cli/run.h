// plimsoll run: a chat in the terminal, or the answer to one prompt.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> RunCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
