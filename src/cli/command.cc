#include "cli/command.h"

#include <utility>

namespace plimsoll::cli {

std::optional<Result<>> ParseOrHelp(CommandLine& line, std::vector<std::string> args,
                                    const Console& console) {
  const auto outcome = line.Parse(std::move(args));
  if (!outcome) {
    return tl::unexpected<Error>(outcome.error());
  }
  if (*outcome == CommandLine::Outcome::kHelp) {
    return console.Write(line.Help());
  }
  return std::nullopt;
}

}  // namespace plimsoll::cli
