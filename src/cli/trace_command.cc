#include "cli/trace_command.h"

#include <array>

#include "base/suggest.h"

namespace plimsoll::cli {
namespace {

struct TraceAction {
  std::string_view name;
  std::string_view summary;
  CommandFn command;
};

constexpr std::array<TraceAction, 4> kActions = {{
    {"check", "whether each decision of a prefix cache was right, from its log", TraceCheckCommand},
    {"record", "run a model and write down what its routers choose", TraceRecordCommand},
    {"replay", "what each eviction policy would have missed, and the optimum", TraceReplayCommand},
    {"show", "how a model routes: reuse, skew, working set", TraceShowCommand},
}};

std::string TraceHelp() {
  std::string help =
      "Study how a model's routers chose experts, from a recorded trace; or what a prefix cache "
      "did.\n\n"
      "usage: plimsoll trace COMMAND [options]\n\nCommands:\n";
  for (const TraceAction& action : kActions) {
    help += fmt::format("  {:<12} {}\n", action.name, action.summary);
  }
  return help + "\nplimsoll trace COMMAND --help lists the options of one.\n";
}

}  // namespace

Result<> TraceCommand(std::vector<std::string> args, const CommandContext& context) {
  const std::string name = args.empty() ? "" : args.front();
  if (name == "-h" || name == "--help") {
    return context.console.Write(TraceHelp());
  }
  std::vector<std::string> names;
  for (const TraceAction& action : kActions) {
    if (name == action.name) {
      args.erase(args.begin());
      return action.command(std::move(args), context);
    }
    names.emplace_back(action.name);
  }
  if (name.empty()) {
    return Fail(ErrorKind::kUsage, "trace what? {}", fmt::join(names, " or "));
  }
  return Fail(ErrorKind::kUsage, "unknown command trace {}.{}\nThere are: {}.", name,
              DidYouMean(name, names), fmt::join(names, ", "));
}

}  // namespace plimsoll::cli
