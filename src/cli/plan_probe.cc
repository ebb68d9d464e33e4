#include "cli/plan_probe.h"

#include <ostream>
#include <vector>

#include "engine/chat.h"
#include "memory/trace/temporary_trace.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::cli {
namespace {

// As many as tell what is used again from what is used once; half a minute where every token waits
// for the disk.
constexpr uint32_t kProbeTokens = 192;
constexpr std::string_view kProbeText =
    "A merchant ship carries a line on her side that shows how deep she may lie in the water. "
    "It was fought for by a member of parliament who had seen overloaded ships go down with "
    "their crews. This is how it came about:";

// Drawn, as answers are: what a small model says greedily goes round in circles.
Result<> GoOnFromText(engine::Engine& engine) {
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  const std::vector<TokenId> prompt =
      engine::EncodePrompt(engine.tokenizer(), std::string(kProbeText));
  const uint64_t shortest = prompt.size() + engine::kTokensOfProfileMin;
  if (shortest > (*session)->n_ctx()) {
    return Fail(ErrorKind::kUsage,
                "a context of {} tokens is too short to learn how the model routes\n"
                "give -c {} or more",
                (*session)->n_ctx(), shortest);
  }
  engine::GenerateOptions options;
  options.n_predict = kProbeTokens;
  options.ignore_end = true;
  auto stats = (*session)->Generate(prompt, options, [](std::string_view) { return true; });
  if (!stats) {
    return Forward(stats);
  }
  return engine.FinishTrace();
}

}  // namespace

Result<engine::MissCurve> ProbeMisses(const EngineFlags& flags, const engine::Planner& planner,
                                      const CommandContext& context) {
  auto file = memory::trace::TemporaryTrace::Create("probe");
  if (!file) {
    return Forward(file);
  }
  EngineFlags probing = flags;
  probing.engine.trace = file->path();
  probing.engine.n_parallel = 1;
  probing.engine.constrained = false;
  probing.engine.batches = false;
  auto engine = LoadEngine(context.load, probing, context.console);
  if (!engine) {
    return Forward(engine);
  }
  if (!flags.quiet) {
    context.console.err << fmt::format("decoding {} tokens to see how they are routed ...\n",
                                       kProbeTokens)
                        << std::flush;
  }
  if (auto went = GoOnFromText(**engine); !went) {
    return Forward(went);
  }
  auto trace = memory::trace::ReadTrace(file->path());
  if (!trace) {
    return Forward(trace);
  }
  auto curve = engine::MissCurve::OfTrace(*trace, engine::ProfileShares());
  if (!curve) {
    return Forward(curve);
  }
  // A cache that cannot be written costs later plans their knowledge, and this one nothing.
  static_cast<void>(engine::StoreMissProfile(
      io::MeasurementCache::OfUser(),
      engine::ProfileName(planner.hyper_params(), planner.catalogue().TotalBytes()), *curve));
  return engine::MissCurve(engine::MissCurve::Source::kProfile,
                           {curve->points().begin(), curve->points().end()});
}

}  // namespace plimsoll::cli
