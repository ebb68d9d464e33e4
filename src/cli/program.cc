#include "cli/program.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <sstream>
#include <system_error>

#include "base/suggest.h"
#include "cli/batch.h"
#include "cli/bench.h"
#include "cli/config_command.h"
#include "cli/doctor.h"
#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/inspect_command.h"
#include "cli/list.h"
#include "cli/pack.h"
#include "cli/plan.h"
#include "cli/prune.h"
#include "cli/quantize.h"
#include "cli/run.h"
#include "cli/serve.h"
#include "cli/tokenize_command.h"
#include "cli/trace_command.h"
#include "cli/verify.h"
#include "cli/version.h"

namespace plimsoll::cli {
namespace {

struct Command {
  std::string_view topic;
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  CommandFn command;
  std::array<std::string_view, 3> parts = {};  // the commands that it has
};

constexpr std::array<Command, 16> kCommands = {{
    {"Talk to a model", "run", "run [MODEL]", "chat in the terminal, or answer -p TEXT",
     RunCommand},
    {"Talk to a model", "serve", "serve [MODEL]", "answer programs over HTTP", ServeCommand},
    {"Talk to a model", "batch", "batch -i FILE -o FILE", "answer a file of requests",
     BatchCommand},
    {"Look at a model, or prepare it", "list", "list", "the models that are there, by name",
     ListCommand},
    {"Look at a model, or prepare it", "plan", "plan [-m MODEL]",
     "what fits a line of memory, and how fast it is", PlanCommand},
    {"Look at a model, or prepare it", "inspect", "inspect MODEL", "what its files contain",
     InspectCommand},
    {"Look at a model, or prepare it", "tokenize", "tokenize [-p TEXT]",
     "text to token ids, and back", TokenizeCommand},
    {"Look at a model, or prepare it", "verify", "verify FILE",
     "whether a model or its packed file is undamaged", VerifyCommand},
    {"Look at a model, or prepare it", "pack", "pack MODEL",
     "a side file that its experts are read from faster", PackCommand},
    {"Look at a model, or prepare it", "quantize", "quantize IN OUT TYPE",
     "a smaller file of it, in another weight type", QuantizeCommand},
    {"Look at a model, or prepare it", "prune", "prune IN OUT",
     "a smaller file of it, with fewer experts", PruneCommand},
    {"Measure",
     "eval",
     "eval logits|perplexity",
     "what a model predicts, in figures",
     EvalCommand,
     {"logits", "perplexity", "imatrix"}},
    {"Measure", "bench", "bench [-m MODEL]", "how fast it runs, beside the machine's limits",
     BenchCommand},
    {"Measure",
     "trace",
     "trace record|replay|show",
     "how it routes, and what caches miss",
     TraceCommand,
     {"record", "replay", "show"}},
    {"Measure", "doctor", "doctor [-m MODEL]", "what the machine offers, and what to change",
     DoctorCommand},
    {"Help", "config", "config show|check", "options from ~/.config/plimsoll/config.toml",
     ConfigCommand},
}};

std::string Joined(const std::vector<std::string>& scope) {
  return fmt::format("{}", fmt::join(scope, "."));
}

bool LooksLikePath(const std::string& argument) {
  std::error_code ignored;
  return argument.find('/') != std::string::npos || argument.ends_with(".gguf") ||
         HasStorePrefix(argument) || std::filesystem::exists(argument, ignored);
}

Result<> UnknownCommand(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    names.emplace_back(command.name);
  }
  if (name.starts_with('-')) {
    names = {"--help", "--version"};
    return Fail(
        ErrorKind::kUsage,
        "unknown option {}.{}\nThe options of a command come behind its name: plimsoll run {}",
        name, DidYouMean(name, names), name);
  }
  return Fail(
      ErrorKind::kUsage,
      "unknown command {}, and no file of that name.{}\nplimsoll --help lists the commands.", name,
      DidYouMean(name, names));
}

// Asks a command, which is not run, for its options.
Result<> Ask(const Command& command, std::string_view part, const CommandContext& context) {
  std::vector<std::string> args;
  if (!part.empty()) {
    args.emplace_back(part);
  }
  return command.command(std::move(args), context);
}

Result<> AskAll(const CommandContext& context, const Settings& settings, OptionSurvey& survey) {
  std::istringstream no_input;
  std::ostringstream unread;  // their help
  const Console console = {.in = no_input, .out = unread, .err = unread};
  const CommandContext asking = {.console = console,
                                 .load = context.load,
                                 .sources = {.settings = &settings, .survey = &survey}};
  for (const Command& command : kCommands) {
    if (command.command == ConfigCommand) {
      continue;  // it has no options of its own, and asks this
    }
    for (size_t i = 0; i < command.parts.size() && (i == 0 || !command.parts[i].empty()); ++i) {
      if (auto asked = Ask(command, command.parts[i], asking); !asked) {
        return asked;
      }
    }
  }
  return {};
}

Result<> RefuseUnknown(const Settings& settings, const OptionSurvey& survey) {
  for (const Setting& setting : settings.all()) {
    const bool is_alias = setting.scope.size() == 1 && setting.scope.front() == kAliasesTable;
    if (is_alias || survey.known.contains(&setting)) {
      continue;
    }
    const std::vector<std::string> names(survey.option_names.begin(), survey.option_names.end());
    const bool is_option = survey.option_names.contains(setting.key);
    return Fail(ErrorKind::kUsage, "{}: {}{} is no option{}.{}", settings.Place(setting),
                setting.key, setting.scope.empty() ? "" : " in [" + Joined(setting.scope) + "]",
                is_option ? " there" : "", is_option ? "" : DidYouMean(setting.key, names));
  }
  return {};
}

Result<> Dispatch(std::vector<std::string> args, const CommandContext& context) {
  if (args.empty()) {
    context.console.err << ProgramHelp();
    return Fail(ErrorKind::kUsage, "no command");
  }
  const std::string first = args.front();
  if (first == "-h" || first == "--help" || first == "help") {
    return context.console.Write(ProgramHelp());
  }
  if (first == "-V" || first == "--version") {
    return context.console.Write(DescribeVersion());
  }
  const auto command = std::ranges::find(kCommands, first, &Command::name);
  if (command == kCommands.end() && (first.starts_with('-') || !LooksLikePath(first))) {
    return UnknownCommand(first);
  }
  if (command != kCommands.end()) {
    args.erase(args.begin());
    if (command->command == ConfigCommand) {
      return ConfigCommand(std::move(args), context);
    }
  }
  const auto settings = ReadSettings(context);
  if (!settings) {
    return tl::unexpected(settings.error());
  }
  CommandContext with_settings = context;
  with_settings.sources.settings = &*settings;
  return (command == kCommands.end() ? RunCommand : command->command)(std::move(args),
                                                                      with_settings);
}

}  // namespace

std::string ProgramHelp() {
  std::string help =
      "Plimsoll runs language models within the memory that you allow it.\n"
      "usage: plimsoll COMMAND [options]      COMMAND --help lists them; a MODEL alone is run\n";
  std::string_view topic;
  for (const Command& command : kCommands) {
    if (command.topic != topic) {
      topic = command.topic;
      help += fmt::format("\n{}:\n", topic);
    }
    help += fmt::format("  {:<26} {}\n", command.usage, command.summary);
  }
  return help +
         "  --version                  version, compiler, and the kernels this CPU can run\n"
         "\n"
         "Without a model the bundled one is used. Options may be set as PLIMSOLL_CTX_SIZE=4096.\n"
         "Exit codes: 0 done, 1 failed, 2 usage, 3 bad model, 4 memory, 5 I/O, 6 denied, 130 "
         "stopped\n";
}

Result<Settings> ReadSettings(const CommandContext& context, OptionSurvey* survey) {
  auto settings = context.settings_file ? Settings::Read(*context.settings_file) : Settings();
  if (!settings) {
    return Forward(settings);
  }
  OptionSurvey own;
  OptionSurvey& learnt = survey == nullptr ? own : *survey;
  if (settings->all().empty() && survey == nullptr) {
    return settings;
  }
  if (auto asked = AskAll(context, *settings, learnt); !asked) {
    return Forward(asked);
  }
  if (auto known = RefuseUnknown(*settings, learnt); !known) {
    return Forward(known);
  }
  if (auto checked = CheckAliases(*settings); !checked) {
    return Forward(checked);
  }
  return settings;
}

int RunProgram(std::vector<std::string> args, const CommandContext& context) {
  Result<> done;
  try {
    done = Dispatch(std::move(args), context);
  } catch (const std::bad_alloc&) {  // the stack is unwound: there is memory again
    done = Fail(ErrorKind::kDoesNotFit,
                "the system refuses more memory\nlower --memory, or give it more");
  } catch (const std::system_error& refused) {  // a thread, or a lock
    done = Fail(ErrorKind::kFailed, "the system refuses a thread: {}", refused.what());
  }
  if (done) {
    return 0;
  }
  const Error& error = done.error();
  if (error.kind != ErrorKind::kInterrupted) {
    context.console.err << "error: " << error.message << std::endl;
  }
  return static_cast<int>(error.kind);
}

}  // namespace plimsoll::cli
