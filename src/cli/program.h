// The program: which command is meant, and how its end becomes an exit code.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace plimsoll::cli {

// `args` without the program's name. Runs the command and returns the exit code: that of the
// error's kind, which is printed as "error: ...". A first argument that is a path means `run`.
[[nodiscard]] int RunProgram(std::vector<std::string> args, const CommandContext& context);

[[nodiscard]] std::string ProgramHelp();

// What the settings file says now, every setting tried against the options of all commands; empty
// settings without a file. kUsage names the file, the line and what is wrong there. `survey`, when
// given, learns what is set, by the environment too; it points into the settings.
[[nodiscard]] Result<Settings> ReadSettings(const CommandContext& context,
                                            OptionSurvey* survey = nullptr);

}  // namespace plimsoll::cli
