#include "bench/bench.h"

#include <algorithm>
#include <chrono>

#include <fmt/chrono.h>

#include "bench/timing.h"
#include "formats/catalogue.h"
#include "io/machine.h"

namespace plimsoll::bench {
namespace {

std::string FileNameOf(const engine::EngineOptions& options) {
  return options.model ? options.model->string() : std::string(engine::BundledModelName());
}

std::string TimeNow() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

// The line in bytes. A share of the file needs the file.
Result<uint64_t> LineBytes(const engine::EngineOptions& options) {
  if (!options.memory) {
    return io::DefaultMemoryLine(io::ReadMemoryFacts());
  }
  if (options.memory->percent == 0 || !options.model) {
    return options.memory->Resolve(0);
  }
  const auto catalogue = formats::OpenModel(*options.model);
  if (!catalogue) {
    return tl::unexpected(catalogue.error());
  }
  return options.memory->Resolve(catalogue->TotalBytes());
}

Result<MachinePeak> PeakFor(const engine::EngineOptions& options) {
  const auto kernels = kernels::SelectKernelSet(options.kernels);
  if (!kernels) {
    return tl::unexpected(kernels.error());
  }
  auto line = LineBytes(options);
  if (!line) {
    return Forward(line);
  }
  return MeasurePeak(**kernels, options.n_threads, PeakBufferBytes(*line));
}

// A test, and the passes through the model that were timed.
struct Measured {
  TestResult result;
  PassRange warm_up;
  std::vector<PassRange> passes;
};

Result<Measured> Measure(engine::Engine& engine, TestRunner& runner, const BenchTest& test,
                         PagingWatch* watch, RunOptions options) {
  Measured measured;
  TestResult& result = measured.result;
  result.test = test;
  result.time = TimeNow();
  if (watch != nullptr) {
    options.before = [&] { watch->Before(engine); };
    options.after = [&] { watch->After(engine); };
  }
  auto run = runner.Run(test, options);
  if (!run) {
    return Forward(run);
  }
  if (watch != nullptr) {
    result.paging = watch->Take(test, *run);
  }
  result.samples_ns = std::move(run->samples_ns);
  measured.passes = std::move(run->passes);
  measured.warm_up = run->warm_up;
  result.work = WorkOf(engine, test);
  result.peak_memory_bytes = io::PeakMemory();
  const memory::LedgerSnapshot ledger = engine.ledger();
  result.kv_bytes = ledger.accounts[static_cast<size_t>(memory::Account::kKv)].bytes;
  return measured;
}

// What only the whole run's trace tells. Without one (its disk was full, say) the rest stands.
Result<> CompletePaging(engine::Engine& engine, PagingWatch& watch, const Subject& subject,
                        bool is_text, std::vector<Measured>& results) {
  std::vector<PagingWatch::Test> tests;
  for (Measured& measured : results) {
    if (measured.result.paging) {
      tests.push_back(
          {measured.result.test, measured.warm_up, measured.passes, &*measured.result.paging});
    }
  }
  if (tests.empty() || (watch.trace_path() && !engine.FinishTrace())) {
    return {};
  }
  return watch.Complete({.memory = subject.peak.read_bytes,
                         .multiply_adds = subject.peak_multiply_adds(),
                         .attention_multiply_adds = subject.peak.fmas,
                         .disk = {}},
                        is_text, tests);
}

Result<> RunTests(const BenchPlan& plan, const BenchHooks& hooks, engine::Engine& engine,
                  const Subject& subject, PagingWatch* watch) {
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  TokenSource source = {.vocab_size = engine.tokenizer().size(), .text = {}};
  if (!plan.text.empty()) {
    source.text = engine.tokenizer().Encode(plan.text, {});
  }
  TestRunner runner(**session, std::move(source), subject.prefill_chunk);
  std::vector<Measured> waiting;  // for the trace's end
  for (const BenchTest& test : plan.tests) {
    const std::string name =
        fmt::format("{}, {} threads, {}: ", subject.model_type, subject.n_threads, test.Name());
    const RunOptions run = {
        .repetitions = plan.repetitions,
        .warm_up = plan.warm_up,
        .warm_up_tokens = watch != nullptr && !plan.text.empty() ? watch->warm_up_tokens() : 1,
        .on_phase = [&](std::string_view phase) { hooks.on_phase(name + std::string(phase)); }};
    auto measured = Measure(engine, runner, test, watch, run);
    hooks.on_phase("");
    if (!measured) {
      return Forward(measured);
    }
    waiting.push_back(std::move(*measured));
    if (watch == nullptr) {
      if (auto taken = hooks.on_result(subject, waiting.back().result); !taken) {
        return taken;
      }
      waiting.clear();
    }
  }
  if (watch != nullptr) {
    if (auto done = CompletePaging(engine, *watch, subject, !plan.text.empty(), waiting); !done) {
      return done;
    }
  }
  for (const Measured& measured : waiting) {
    if (auto taken = hooks.on_result(subject, measured.result); !taken) {
      return taken;
    }
  }
  return {};
}

Result<> RunEngine(const BenchPlan& plan, const BenchHooks& hooks, engine::EngineOptions options) {
  hooks.on_phase("measuring the machine");
  auto peak = PeakFor(options);
  if (!peak) {
    return Forward(peak);
  }
  const auto watch = PagingWatch::Prepare(options);
  if (watch != nullptr) {
    options.trace = watch->trace_path();
  }
  hooks.on_phase("");
  io::ForgetPeakMemory();
  auto engine = hooks.load(options);
  if (!engine) {
    if (engine.error().kind == ErrorKind::kDoesNotFit) {
      return Fail(ErrorKind::kDoesNotFit, "{}: {}\n(the context is the longest test's: -d, -p, -n)",
                  FileNameOf(options), engine.error().message);
    }
    return Forward(engine);
  }
  // What the weights can be read with counts, where there are enough to tell.
  if (const auto weights = (*engine)->weights(); weights.size() >= PeakBufferBytes(UINT64_MAX)) {
    const auto kernels = kernels::SelectKernelSet(options.kernels);
    peak->read_bytes = MeasureReadRate(**kernels, options.n_threads, weights);
  }
  const Subject subject = DescribeSubject(**engine, FileNameOf(options), *peak);
  return RunTests(plan, hooks, **engine, subject, watch.get());
}

// Every combination of the settings for one model.
Result<> RunModel(const BenchPlan& plan, const BenchHooks& hooks, engine::EngineOptions options) {
  for (const auto& memory : plan.memory) {
    for (const std::string& kernels : plan.kernels) {
      for (const uint32_t chunk : plan.prefill_chunks) {
        for (const uint32_t n_threads : plan.n_threads) {
          options.memory = memory;
          options.kernels = kernels;
          options.prefill_chunk = chunk;
          options.n_threads = n_threads != 0 ? n_threads : io::ReadCoreFacts().n_usable;
          if (auto run = RunEngine(plan, hooks, options); !run) {
            return run;
          }
        }
      }
    }
  }
  return {};
}

}  // namespace

Result<> RunBench(const BenchPlan& plan, const BenchHooks& hooks) {
  if (plan.tests.empty()) {
    return Fail(ErrorKind::kUsage, "no test: give -p, -n or -pg a size above 0");
  }
  engine::EngineOptions options;
  options.prefetch = plan.prefetch;
  options.kv = plan.kv;
  for (const BenchTest& test : plan.tests) {
    options.n_ctx = std::max(options.n_ctx, test.n_ctx());
  }
  for (const auto& model : plan.models) {
    options.model = model;
    if (auto run = RunModel(plan, hooks, options); !run) {
      return run;
    }
  }
  return {};
}

}  // namespace plimsoll::bench
