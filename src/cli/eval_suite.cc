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
  std::vector<tensor::KvType> types;
  std::vector<kv::policy::PolicyKind> policies;
  std::vector<SizeSpec> budgets;
  kv::policy::PolicyOptions window;  // what is said of it beside the budget
  bool json = false;
};

// A list of what `parse` reads, which takes the place of what the target has.
template <class T>
CommandLine::Setter SetList(std::vector<T>& target, Result<T> (*parse)(std::string_view)) {
  return [&target, parse](const std::string& value) -> Result<> {
    target.clear();
    for (const std::string& part : SplitAtCommas(value)) {
      auto one = parse(part);
      if (!one) {
        return Forward(one);
      }
      target.push_back(*one);
    }
    return {};
  };
}

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
  line.Topic("Ways to keep keys and values (every combination is a row; full f16 is the first)");
  line.Option("--kv-type", "TYPE,...", "f16, bf16, q8, q4 (default f16)",
              SetList(flags.types, kv::ParseKvType));
  line.Option("--kv-policy", "NAME,...", "full (default), window, block, snap, arkv, episode",
              SetList(flags.policies, kv::policy::ParsePolicy));
  line.Option("--kv-budget", "SIZE,...", "of every policy but full: 25% (of the context)",
              SetList(flags.budgets, ParseSize));
  AddWindowOptions(line, flags.window);
  AddEngineOptions(line, flags.engine, false);
  line.Topic("Output");
  line.Flag("--json", "a JSON array of rows", flags.json);
  AddOutputOptions(line, flags.engine);
}

std::vector<KvOptions> SetupsOf(const SuiteFlags& flags) {
  std::vector<KvOptions> setups = {{.type = tensor::KvType::kF16, .layers = {}}};
  for (const tensor::KvType type : flags.types) {
    for (const kv::policy::PolicyKind kind : flags.policies) {
      if (kind != kv::policy::PolicyKind::kFull) {
        kv::policy::PolicyOptions policy =
            kind == kv::policy::PolicyKind::kWindow ? flags.window : kv::policy::PolicyOptions();
        policy.kind = kind;
        for (const SizeSpec& budget : flags.budgets) {
          policy.budget = budget;
          setups.push_back({.type = type, .layers = {}, .policy = policy});
        }
      } else if (type != tensor::KvType::kF16) {
        setups.push_back({.type = type, .layers = {}});
      }
    }
  }
  return setups;
}

eval::Setup InWords(const KvOptions& kv) {
  const auto& budget = kv.policy.budget;
  kv::policy::PolicyOptions rest = kv.policy;
  rest.budget.reset();
  return {.policy = rest.Text(),
          .budget = budget ? kv::policy::BudgetText(*budget) : "100%",
          .precision = kv::Precision{.type = *kv.type, .layers = {}}.Text()};
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

void ShowProgress(SuiteFlags& flags, const Console& console) {
  if (flags.engine.quiet || !console.err_is_terminal) {
    return;
  }
  flags.suite.on_progress = [&console](uint32_t n_done, uint32_t n_all) {
    console.err << fmt::format("\rdialogue {} of {}{}", n_done, n_all,
                               n_done == n_all ? "\r\x1b[K" : "")
                << std::flush;
  };
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
  std::optional<eval::Suite> suite;
  std::vector<eval::Row> rows;
  for (const KvOptions& kv : SetupsOf(flags)) {
    flags.engine.kv = kv;
    auto engine = LoadEngine(context.load, flags.engine, context.console);
    if (!engine) {
      return Forward(engine);
    }
    if (!suite) {
      if (text) {
        flags.suite.texts =
            CutText(engine::EncodePrompt((*engine)->tokenizer(), *text), flags.engine.engine.n_ctx);
      }
      auto made = eval::Suite::Make(**engine, flags.suite);
      if (!made) {
        return Forward(made);
      }
      suite = std::move(*made);
    }
    auto row = suite->Run(**engine, InWords(kv));
    if (!row) {
      return Forward(row);
    }
    rows.push_back(std::move(*row));
  }
  return context.console.Write(flags.json ? eval::ToJson(rows) : eval::ToTable(rows));
}

Result<> RunSuite(CommandLine& line, std::span<const eval::Task> tasks,
                  std::vector<std::string> args, const CommandContext& context) {
  SuiteFlags flags;
  flags.engine.engine.n_ctx = kSuiteContext;
  flags.suite.tasks.assign(tasks.begin(), tasks.end());
  flags.types = {tensor::KvType::kF16};
  flags.policies = {kv::policy::PolicyKind::kFull};
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (flags.engine.engine.n_ctx < kSuiteContextMin) {
    return Fail(ErrorKind::kUsage, "--ctx-size: the dialogues need {} tokens or more",
                kSuiteContextMin);
  }
  for (const kv::policy::PolicyKind kind : flags.policies) {
    if (kind != kv::policy::PolicyKind::kFull && flags.budgets.empty()) {
      return Fail(ErrorKind::kUsage, "--kv-policy {} wants budgets: --kv-budget 25%,50%",
                  NameOf(kind));
    }
  }
  const bool has_window = std::ranges::count(flags.policies, kv::policy::PolicyKind::kWindow) > 0;
  if (auto checked = kv::policy::Check(flags.window); !checked && !has_window) {
    return tl::unexpected(checked.error().ForCommandLine());
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  ShowProgress(flags, context.console);
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
