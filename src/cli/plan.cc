#include "cli/plan.h"

#include <ostream>

#include "bench/machine_peak.h"
#include "bench/machine_speed.h"
#include "cli/command_line.h"
#include "cli/engine_options.h"
#include "cli/find_model.h"
#include "cli/plan_probe.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::cli {
namespace {

struct PlanFlags {
  EngineFlags common;
  uint32_t n_prompt = 512;
  std::optional<std::string> trace;
  bool probe = false;
  bool serve = false;
  bool json = false;
};

void Declare(CommandLine& line, PlanFlags& flags) {
  AddEngineOptions(line, flags.common);
  line.Topic("Forecast");
  line.Text("--trace", "FILE", "count misses on this recorded routing (plimsoll trace record)",
            flags.trace);
  line.Flag("--probe", "run the model for some tokens first, to see how it routes", flags.probe);
  line.Integer("-p,--n-prompt", "tokens of the prompt that is forecast (default 512)",
               flags.n_prompt, 1, int64_t{1} << 30);
  line.Integer("--parallel", "sequences of -c tokens at a time (default 1)",
               flags.common.engine.n_parallel, 1, 1024);
  line.Flag("--serve", "with the tables that serve and batch keep for their requests", flags.serve);
  line.Topic("Output");
  line.Flag("--json", "one JSON object", flags.json);
  AddOutputOptions(line, flags.common);
}

// What is remembered, or measured now: that takes some seconds once.
Result<> MeasureMachine(const engine::Planner& planner, PlanInputs& inputs) {
  const auto peak = bench::CachedPeak(planner.kernels(), planner.n_threads(),
                                      bench::PeakBufferBytes(inputs.line_bytes));
  if (!peak) {
    return tl::unexpected(peak.error());
  }
  inputs.speed = bench::SpeedFrom(*peak, planner);
  auto disk = io::CachedDiskSpeed(planner.catalogue().files.front(), {});
  if (disk) {
    inputs.speed.disk = *std::move(disk);
  } else {
    inputs.disk_not_measured = disk.error().message;
  }
  return {};
}

Result<PlanReport> MakeReport(const PlanFlags& flags, const CommandContext& context) {
  engine::EngineOptions options = flags.common.engine;
  auto precision = PrecisionOf(flags.common.kv);
  if (!precision) {
    return Forward(precision);
  }
  options.kv = *std::move(precision);
  if (auto checked = kv::policy::Check(flags.common.kv.policy); !checked) {
    return tl::unexpected(checked.error().ForCommandLine());
  }
  options.kv_policy = flags.common.kv.policy;
  auto planner = engine::Planner::Open(options);
  if (!planner) {
    return Forward(planner);
  }
  PlanInputs inputs = {.line_bytes = (*planner)->LineFor(options.memory),
                       .prefill_chunk = options.prefill_chunk,
                       .n_prompt = flags.n_prompt,
                       .speed = {},
                       .disk_not_measured = {},
                       .misses = (*planner)->Misses(),
                       .reached = (*planner)->Reached()};
  if (flags.probe && (*planner)->has_experts() && (*planner)->At(inputs.line_bytes)) {
    auto probed = ProbeMisses(flags.common, **planner, context);
    if (!probed) {
      return Forward(probed);
    }
    inputs.misses = *std::move(probed);
  }
  Result<memory::trace::Trace> trace;
  if (flags.trace) {
    trace = memory::trace::ReadTrace(*flags.trace);
    if (!trace) {
      return Forward(trace);
    }
    inputs.trace = &*trace;
  }
  if (auto measured = MeasureMachine(**planner, inputs); !measured) {
    return Forward(measured);
  }
  return MakePlanReport(**planner, inputs);
}

}  // namespace

Result<> PlanCommand(std::vector<std::string> args, const CommandContext& context) {
  PlanFlags flags;
  std::optional<std::string> positional;
  CommandLine line(
      "plan",
      "Print how a model would share a line: what stays in memory, what is read for a token,\n"
      "and how fast that can be at best on this machine. No weights are loaded, but with --probe.\n"
      "Bandwidths are measured once and remembered for 30 days. Exits with 4 when the model does\n"
      "not fit.",
      "plimsoll plan [-m MODEL] [--memory SIZE] [options]");
  line.Positional("MODEL", "the same as -m MODEL", positional);
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (flags.trace && flags.probe) {
    return Fail(ErrorKind::kUsage, "--trace and --probe are two ways to know the same: give one");
  }
  flags.common.engine.constrained = flags.serve;
  flags.common.engine.batches = flags.serve;
  if (positional) {
    flags.common.engine.model = *positional;
  }
  if (auto found = FindModel(flags.common, context); !found) {
    return found;
  }
  const auto report = MakeReport(flags, context);
  if (!report) {
    return tl::unexpected(report.error());
  }
  auto written = context.console.Write(flags.json ? PlanJson(*report) : PlanText(*report));
  if (written && !report->refusal.empty()) {
    return Fail(ErrorKind::kDoesNotFit, "{}", report->refusal);
  }
  return written;
}

}  // namespace plimsoll::cli
