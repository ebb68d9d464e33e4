// plimsoll serve: a model behind HTTP, until SIGTERM or Ctrl-C.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> ServeCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
