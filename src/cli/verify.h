// `plimsoll verify`: whether a packed file, or a model, is still what it was.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

Result<> VerifyCommand(std::vector<std::string> args, const CommandContext& context);

}  // namespace plimsoll::cli
