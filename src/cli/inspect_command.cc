#include "cli/inspect_command.h"

#include <sstream>

#include "cli/inspect.h"

namespace plimsoll::cli {

Result<> InspectCommand(std::vector<std::string> args, const CommandContext& context) {
  InspectOptions options;
  std::optional<std::string> path;
  CommandLine line(
      "inspect",
      "Print what a model's files contain: metadata, tensors, bytes by kind and per token.",
      "plimsoll inspect [options] MODEL");
  line.Text("-m,--model", "PATH", "the same as MODEL", path);
  line.Positional("MODEL", "a GGUF file, a split's first part, or a folder", path);
  line.Flag("--tensors", "list every tensor", options.tensors);
  line.Flag("--json", "one JSON object", options.json);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!path || path->empty()) {
    return Fail(ErrorKind::kUsage, "which model? Give the path of its file or folder");
  }
  options.path = *path;
  std::ostringstream report;
  if (auto inspected = Inspect(options, report); !inspected) {
    return inspected;
  }
  return context.console.Write(report.str());
}

}  // namespace plimsoll::cli
