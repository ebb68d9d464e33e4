// plimsoll trace record: answer a prompt and write down what the routers choose.
#include "cli/engine_options.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"
#include "cli/trace_command.h"
#include "engine/chat.h"

namespace plimsoll::cli {
namespace {

struct RecordFlags {
  EngineFlags engine;
  PromptFlags prompt;
  std::optional<std::string> trace;
  uint32_t n_predict = 128;
};

void Declare(CommandLine& line, RecordFlags& flags) {
  line.Topic("What");
  line.Positional("TRACE", "the file to write", flags.trace);
  AddPromptOptions(line, flags.prompt);
  line.Integer("-n,--predict", "tokens to generate behind the prompt (default 128)",
               flags.n_predict, 1, 1 << 20);
  AddEngineOptions(line, flags.engine);
  line.Topic("Output");
  AddOutputOptions(line, flags.engine);
}

// The prompt is text as it is, without a chat template; what is generated goes on past the end.
Result<> RecordRun(engine::Engine& engine, const std::string& prompt, const RecordFlags& flags,
                   const CommandContext& context) {
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  engine::GenerateOptions options;
  options.sampling.temperature = 0;
  options.n_predict = flags.n_predict;
  options.ignore_end = true;
  const auto stats = (*session)->Generate(engine::EncodePrompt(engine.tokenizer(), prompt), options,
                                          [](std::string_view) { return true; });
  if (!stats) {
    return tl::unexpected<Error>(stats.error());
  }
  if (auto finished = engine.FinishTrace(); !finished) {
    return finished;
  }
  return context.console.Write(fmt::format("{}: {} tokens of a prompt, {} generated\n",
                                           *flags.trace, stats->n_prompt, stats->n_generated));
}

}  // namespace

Result<> TraceRecordCommand(std::vector<std::string> args, const CommandContext& context) {
  RecordFlags flags;
  CommandLine line("trace record",
                   "Run a prompt through a model with experts and record what its routers choose,\n"
                   "with as many near-misses as chosen experts, for trace replay and show.",
                   "plimsoll trace record [-m MODEL] -p TEXT [options] TRACE");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.trace || flags.trace->empty()) {
    return Fail(ErrorKind::kUsage, "where to? Give the path of the trace's file");
  }
  const auto prompt = ReadPrompt(flags.prompt, context.console);
  if (!prompt) {
    return tl::unexpected<Error>(prompt.error());
  }
  if (!prompt->has_value()) {
    return Fail(ErrorKind::kUsage, "no prompt: give -p TEXT or -f FILE");
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  flags.engine.engine.trace = *flags.trace;
  auto engine = LoadEngine(context.load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  return RecordRun(**engine, **prompt, flags, context);
}

}  // namespace plimsoll::cli
