#include "cli/bench.h"

#include <algorithm>
#include <optional>
#include <ostream>

#include "bench/bench.h"
#include "bench/report.h"
#include "cli/find_model.h"
#include "cli/prompt_source.h"

namespace plimsoll::cli {
namespace {

constexpr int64_t kRepetitionsMax = 100'000;

struct BenchFlags {
  EngineFlags common;  // colour and verbosity; what to load is in the plan
  bench::BenchPlan plan;
  bench::TestLists tests;
  std::string format = "md";
  std::optional<std::string> text_file;
  bool no_warm_up = false;
};

// A list of numbers, each within [min, max]; given again, the lists are joined.
void AddCounts(CommandLine& line, std::string_view names, std::string_view help,
               std::vector<uint32_t>& target, uint32_t min, uint32_t max) {
  line.Repeated(names, "N,...", help, [&target, min, max](const std::string& value) -> Result<> {
    auto counts = bench::ParseCounts(value);
    if (!counts) {
      return Forward(counts);
    }
    for (const uint32_t count : *counts) {
      if (count < min || count > max) {
        return Fail(ErrorKind::kUsage, "{} is out of range: from {} to {}", count, min, max);
      }
      target.push_back(count);
    }
    return {};
  });
}

void AddTests(CommandLine& line, BenchFlags& flags) {
  constexpr uint32_t kTestTokensMax = uint32_t{1} << 30;
  line.Topic("Tests (lists: 128,256 or 1-4 or 128-512+128 or 1-8*2)");
  AddCounts(line, "-p,--n-prompt",
            "tokens of a prompt, read at once (default 512; 0: no such test)", flags.tests.n_prompt,
            0, kTestTokensMax);
  AddCounts(line, "-n,--n-gen", "tokens to generate, one by one (default 128; 0: no such test)",
            flags.tests.n_gen, 0, kTestTokensMax);
  line.Repeated("-pg,--prompt-gen", "PP,TG", "a prompt, then tokens to generate, timed together",
                [&flags](const std::string& value) -> Result<> {
                  auto pair = bench::ParsePromptGen(value);
                  if (!pair) {
                    return Forward(pair);
                  }
                  flags.tests.prompt_gen.push_back(*pair);
                  return {};
                });
  AddCounts(line, "-d,--n-depth", "tokens of context before a test, not timed (default 0)",
            flags.tests.n_depth, 0, kTestTokensMax);
  line.Integer("-r,--repetitions", "times that each test is run (default 5)",
               flags.plan.repetitions, 1, kRepetitionsMax);
  line.Text("-f,--file", "FILE", "tokens of this text, not random ones: for experts that are paged",
            flags.text_file);
  line.Flag("--no-warmup", "do not run each test once before it is timed", flags.no_warm_up);
}

void AddSettings(CommandLine& line, bench::BenchPlan& plan, KvOptions& kv) {
  line.Topic("Model and machine (every combination is measured)");
  line.Repeated("-m,--model", "MODEL",
                "a file, a folder, or a name that list shows (default: bundled)",
                [&plan](const std::string& value) -> Result<> {
                  if (value.empty()) {
                    return Fail(ErrorKind::kUsage, "the path is empty");
                  }
                  plan.models.emplace_back(value);
                  return {};
                });
  line.Repeated("--memory", "SIZE,...", "the most memory to use: 8G, 512M, 130% (of the file)",
                [&plan](const std::string& value) -> Result<> {
                  for (const std::string& part : SplitAtCommas(value)) {
                    auto size = ParseSize(part);
                    if (!size) {
                      return Forward(size);
                    }
                    plan.memory.emplace_back(*size);
                  }
                  return {};
                });
  AddCounts(line, "-t,--threads", "threads (default 0: the physical cores)", plan.n_threads, 0,
            kThreadsMax);
  line.Repeated("--kernels", "NAME,...", "ref, avx2 or avx512 (default: the fastest here)",
                [&plan](const std::string& value) -> Result<> {
                  std::ranges::move(SplitAtCommas(value), std::back_inserter(plan.kernels));
                  return {};
                });
  line.Text("--prefetch", "HOW", "guess the next layer's experts: router (default), pairs or off",
            plan.prefetch);
  AddKvOptions(line, kv);
  AddCounts(line, "--prefill-chunk,--batch,-b,--batch-size,-ub,--ubatch-size",
            "prompt tokens computed together (default 512)", plan.prefill_chunks, 1,
            uint32_t{1} << 30);
}

void Declare(CommandLine& line, BenchFlags& flags) {
  // Empty, so that what is given takes the place of the defaults.
  flags.plan = {.models = {}, .kernels = {}, .memory = {}, .prefill_chunks = {}, .n_threads = {}};
  AddTests(line, flags);
  AddSettings(line, flags.plan, flags.common.kv);
  AddModelsDirOption(line, flags.common.models_dirs);
  line.Topic("Output");
  line.Text("-o,--output", "FORMAT", "md, json, jsonl or csv (default md)", flags.format);
  AddOutputOptions(line, flags.common);
}

template <class T>
void FillIfEmpty(std::vector<T>& list, std::vector<T> defaults) {
  if (list.empty()) {
    list = std::move(defaults);
  }
}

void CompletePlan(BenchFlags& flags) {
  const bench::BenchPlan defaults;
  FillIfEmpty(flags.plan.models, defaults.models);
  FillIfEmpty(flags.plan.kernels, defaults.kernels);
  FillIfEmpty(flags.plan.memory, defaults.memory);
  FillIfEmpty(flags.plan.prefill_chunks, defaults.prefill_chunks);
  FillIfEmpty(flags.plan.n_threads, defaults.n_threads);
  FillIfEmpty(flags.tests.n_prompt, {512});
  FillIfEmpty(flags.tests.n_gen, {128});
  FillIfEmpty(flags.tests.n_depth, {0});
  flags.plan.tests = bench::MakeTests(flags.tests);
  flags.plan.warm_up = !flags.no_warm_up;
}

// On a terminal one line that changes; elsewhere, when asked for more, a line each.
void ShowPhase(const Console& console, const EngineFlags& flags, std::string_view phase) {
  if (flags.quiet) {
    return;
  }
  if (console.err_is_terminal) {
    console.err << "\r\x1b[K" << phase << std::flush;
  } else if (flags.verbose && !phase.empty()) {
    console.err << phase << "\n" << std::flush;
  }
}

Result<> Run(const BenchFlags& flags, const CommandContext& context) {
  const Console& console = context.console;
  auto report = bench::MakeReport(flags.format,
                                  {.version = PLIMSOLL_VERSION,
                                   .shows_chunk = flags.plan.prefill_chunks != std::vector{512U},
                                   .shows_line = flags.plan.memory.front().has_value(),
                                   .shows_paging = flags.plan.memory.front().has_value()});
  if (!report) {
    return Fail(ErrorKind::kUsage, "--output: {}", report.error().message);
  }
  bool has_begun = false;
  const bench::BenchHooks hooks = {
      .load =
          [&](const engine::EngineOptions& options) {
            EngineFlags engine = flags.common;
            engine.engine = options;
            engine.no_profile = flags.plan.text.empty();  // random tokens teach nothing
            return LoadEngine(context.load, engine, console);
          },
      .on_phase = [&](std::string_view phase) { ShowPhase(console, flags.common, phase); },
      .on_result =
          [&](const bench::Subject& subject, const bench::TestResult& result) {
            const std::string head = has_begun ? "" : (*report)->Begin();
            has_begun = true;
            return console.Write(head + (*report)->Row(subject, result));
          }};
  auto run = bench::RunBench(flags.plan, hooks);
  ShowPhase(console, flags.common, "");
  // What was measured before an error is still a whole document.
  if (has_begun) {
    if (auto ended = console.Write((*report)->End()); !ended) {
      return ended;
    }
  }
  return run;
}

}  // namespace

Result<> BenchCommand(std::vector<std::string> args, const CommandContext& context) {
  BenchFlags flags;
  CommandLine line(
      "bench",
      "Measure how fast a model reads prompts (pp) and generates tokens (tg), as llama-bench\n"
      "does, on random tokens. Beside tokens per second stand the GB of weights and KV that\n"
      "must be read for them each second, what share that is of the memory bandwidth, what\n"
      "share of the arithmetic peak the multiply-adds are (both measured in the same run with\n"
      "the same threads), and the most memory that the process had resident.",
      "plimsoll bench [-m MODEL]... [options]");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (flags.text_file) {
    auto text = ReadTextFile(*flags.text_file, context.console);
    if (!text) {
      return Forward(text);
    }
    if (text->empty()) {
      return Fail(ErrorKind::kUsage, "{} is empty", *flags.text_file);
    }
    flags.plan.text = *std::move(text);
  }
  for (auto& model : flags.plan.models) {
    auto found = FindModel(model->string(), flags.common.models_dirs, context);
    if (!found) {
      return Forward(found);
    }
    model = std::move(*found);
  }
  auto precision = PrecisionOf(flags.common.kv);
  if (!precision) {
    return Forward(precision);
  }
  flags.plan.kv = *std::move(precision);
  CompletePlan(flags);
  return Run(flags, context);
}

}  // namespace plimsoll::cli
