#include <limits>
#include <ostream>

#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"
#include "engine/chat.h"
#include "eval/suite.h"

namespace plimsoll::cli {
namespace {

constexpr uint32_t kSuiteContext = 1024;
constexpr uint32_t kSuiteContextMin = 512;
constexpr uint32_t kDialoguesMax = 100'000;

struct SuiteFlags {
  EngineFlags engine;
  std::optional<std::string> file;
  eval::SuiteOptions suite;
  bool json = false;
};

void Declare(CommandLine& line, SuiteFlags& flags) {
  line.Topic("What");
  line.Positional("FILE",
                  "read this text for the perplexity and the divergence (-: standard input)",
                  flags.file);
  line.Option("-s,--seed", "N", "the seed that makes the dialogues (default 1)",
              [&flags](const std::string& value) -> Result<> {
                auto seed = ParseInteger(value, 0, std::numeric_limits<int64_t>::max());
                if (!seed) {
                  return Forward(seed);
                }
                flags.suite.seed = static_cast<uint64_t>(*seed);
                return {};
              });
  line.Integer("--dialogues", "so many of each kind (default 16)", flags.suite.n_dialogues, 1,
               kDialoguesMax);
  AddEngineOptions(line, flags.engine);
  line.Topic("Output");
  line.Flag("--json", "a JSON array of rows", flags.json);
  AddOutputOptions(line, flags.engine);
}

// Pieces as long as the context.
std::vector<std::vector<TokenId>> CutText(std::span<const TokenId> tokens, uint32_t n_ctx) {
  std::vector<std::vector<TokenId>> pieces;
  for (; !tokens.empty(); tokens = tokens.subspan(pieces.back().size())) {
    const auto piece = tokens.first(std::min<size_t>(tokens.size(), n_ctx));
    pieces.emplace_back(piece.begin(), piece.end());
  }
  return pieces;
}

Result<> Measure(SuiteFlags& flags, const CommandContext& context) {
  std::optional<std::string> text;
  if (flags.file) {
    auto read = ReadTextFile(*flags.file, context.console);
    if (!read) {
      return Forward(read);
    }
    text = std::move(*read);
  }
  auto engine = LoadEngine(context.load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  if (text) {
    flags.suite.texts =
        CutText(engine::EncodePrompt((*engine)->tokenizer(), *text), flags.engine.engine.n_ctx);
  }
  if (!flags.engine.quiet && context.console.err_is_terminal) {
    flags.suite.on_progress = [&](uint32_t n_done, uint32_t n_all) {
      context.console.err << fmt::format("\rdialogue {} of {}{}", n_done, n_all,
                                         n_done == n_all ? "\r\x1b[K" : "")
                          << std::flush;
    };
  }
  auto suite = eval::Suite::Make(**engine, std::move(flags.suite));
  if (!suite) {
    return Forward(suite);
  }
  auto row = suite->Run(**engine, {});
  if (!row) {
    return Forward(row);
  }
  const std::span<const eval::Row> rows(&*row, 1);
  return context.console.Write(flags.json ? eval::ToJson(rows) : eval::ToTable(rows));
}

Result<> RunSuite(CommandLine& line, std::span<const eval::Task> tasks,
                  std::vector<std::string> args, const CommandContext& context) {
  SuiteFlags flags;
  flags.engine.engine.n_ctx = kSuiteContext;
  flags.suite.tasks.assign(tasks.begin(), tasks.end());
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (flags.engine.engine.n_ctx < kSuiteContextMin) {
    return Fail(ErrorKind::kUsage, "--ctx-size: the dialogues need {} tokens or more",
                kSuiteContextMin);
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  return Measure(flags, context);
}

}  // namespace

Result<> EvalRecallCommand(std::vector<std::string> args, const CommandContext& context) {
  CommandLine line(
      "eval recall",
      "Tell the model codes in the middle of filler, and ask for them: one code, several\n"
      "in turn, and several in requests that share the text. The score is the share of\n"
      "right answers from the second turn on, in which the model's own answers stay.\n"
      "Dialogues are made from a seed, and are as long as the context (-c, default 1024).",
      "plimsoll eval recall [-m MODEL] [FILE] [options]");
  return RunSuite(line, eval::kRetrievalTasks, std::move(args), context);
}

Result<> EvalSuiteCommand(std::vector<std::string> args, const CommandContext& context) {
  CommandLine line(
      "eval suite",
      "As eval recall, with more kinds of dialogue: codes told and asked for in turns of\n"
      "small talk, a code that is changed, one that is another thing's, a list to copy.\n"
      "The table is what docs/kv.md shows for the bundled model.",
      "plimsoll eval suite [-m MODEL] [FILE] [options]");
  return RunSuite(line, eval::kAllTasks, std::move(args), context);
}

}  // namespace plimsoll::cli
