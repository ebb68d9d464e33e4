#include "cli/inspect_command.h"

#include <sstream>

#include "cli/find_model.h"
#include "cli/inspect.h"

namespace plimsoll::cli {

Result<> InspectCommand(std::vector<std::string> args, const CommandContext& context) {
  InspectOptions options;
  std::optional<std::string> path;
  CommandLine line(
      "inspect",
      "Print what a model's files contain: metadata, tensors, bytes by kind and per token.",
      "plimsoll inspect [options] MODEL");
  std::vector<std::filesystem::path> folders;
  line.Text("-m,--model", "MODEL", "the same as MODEL", path);
  line.Positional("MODEL", "a file, a folder, or a name that list shows", path);
  AddModelsDirOption(line, folders);
  line.Flag("--tensors", "list every tensor", options.tensors);
  line.Flag("--json", "one JSON object", options.json);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!path || path->empty()) {
    return Fail(ErrorKind::kUsage,
                "which model? Give its file or folder, or a name that plimsoll list shows");
  }
  if (auto found = FindModel(path, folders, context); !found) {
    return found;
  }
  options.path = *path;
  std::ostringstream report;
  if (auto inspected = Inspect(options, report); !inspected) {
    return inspected;
  }
  return context.console.Write(report.str());
}

}  // namespace plimsoll::cli
