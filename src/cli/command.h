// What every command is given.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/engine_options.h"
#include "cli/interrupts.h"
#include "cli/line_reader.h"
#include "cli/settings.h"
#include "formats/store/places.h"

namespace plimsoll::cli {

struct CommandContext {
  const Console& console;
  LoadFn load;
  Interrupts* interrupts = nullptr;                            // null in tests
  std::function<std::unique_ptr<LineSource>()> open_terminal;  // for a chat
  std::optional<SettingsFile> settings_file;                   // none in most tests
  OptionSources sources;                                       // of what is in it
  // Where models are found by name; without them (most tests) a name is a path.
  std::optional<formats::store::Places> places;
};

// A command reads its arguments (those behind its name) and does its work. The kind of an error is
// the exit code.
using CommandFn = Result<> (*)(std::vector<std::string> args, const CommandContext& context);

// Sets what `line` declares from a command's arguments. A value: the command is over with it,
// because the arguments are wrong, or asked for the help, which is printed.
[[nodiscard]] std::optional<Result<>> ParseOrHelp(CommandLine& line, std::vector<std::string> args,
                                                  const Console& console,
                                                  const OptionSources& sources);

}  // namespace plimsoll::cli
