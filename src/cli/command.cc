#include "cli/command.h"

#include <utility>

namespace plimsoll::cli {

std::optional<Result<>> ParseOrHelp(CommandLine& line, std::vector<std::string> args,
                                    const Console& console, const OptionSources& sources) {
  const auto outcome = line.Parse(std::move(args), sources);
  if (!outcome) {
    return tl::unexpected<Error>(outcome.error());
  }
  if (*outcome == CommandLine::Outcome::kHelp) {
    return console.Write(line.Help());
  }
  return std::nullopt;
}

}  // namespace plimsoll::cli
