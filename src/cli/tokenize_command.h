// The options of plimsoll tokenize.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> TokenizeCommand(std::vector<std::string> args,
                                       const CommandContext& context);

}  // namespace plimsoll::cli
