#include "cli/program.h"

#include <array>
#include <filesystem>
#include <ostream>

#include "cli/bench.h"
#include "cli/doctor.h"
#include "cli/eval.h"
#include "cli/inspect_command.h"
#include "cli/pack.h"
#include "cli/plan.h"
#include "cli/run.h"
#include "cli/suggest.h"
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
};

constexpr std::array<Command, 10> kCommands = {{
    {"Talk to a model", "run", "run [MODEL]", "chat in the terminal, or answer -p TEXT",
     RunCommand},
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
    {"Measure", "eval", "eval logits|perplexity", "what a model predicts, in figures", EvalCommand},
    {"Measure", "bench", "bench [-m MODEL]", "how fast it runs, beside the machine's limits",
     BenchCommand},
    {"Measure", "trace", "trace record|replay|show", "how it routes, and what caches miss",
     TraceCommand},
    {"Measure", "doctor", "doctor [-m MODEL]", "what the machine offers, and what to change",
     DoctorCommand},
}};

bool LooksLikePath(const std::string& argument) {
  std::error_code ignored;
  return argument.find('/') != std::string::npos || argument.ends_with(".gguf") ||
         std::filesystem::exists(argument, ignored);
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
  for (const Command& command : kCommands) {
    if (command.name == first) {
      args.erase(args.begin());
      return command.command(std::move(args), context);
    }
  }
  if (!first.starts_with('-') && LooksLikePath(first)) {
    return RunCommand(std::move(args), context);
  }
  return UnknownCommand(first);
}

}  // namespace

std::string ProgramHelp() {
  std::string help =
      "Plimsoll runs language models within the memory that you allow it.\n"
      "\n"
      "usage: plimsoll COMMAND [options]\n"
      "       plimsoll MODEL [options]        the same as plimsoll run MODEL\n";
  std::string_view topic;
  for (const Command& command : kCommands) {
    if (command.topic != topic) {
      topic = command.topic;
      help += fmt::format("\n{}:\n", topic);
    }
    help += fmt::format("  {:<26} {}\n", command.usage, command.summary);
  }
  return help +
         "\n"
         "Help:\n"
         "  COMMAND --help             the options of a command\n"
         "  --version                  version, compiler, and the kernels this CPU can run\n"
         "\n"
         "Without a model the bundled one is used. Text goes to standard output, the rest to\n"
         "standard error. Every option may come from the environment: PLIMSOLL_CTX_SIZE=4096.\n"
         "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad model file, 4 does not fit the\n"
         "memory, 5 I/O error, 6 permission, 130 interrupted.\n";
}

int RunProgram(std::vector<std::string> args, const CommandContext& context) {
  auto done = Dispatch(std::move(args), context);
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
