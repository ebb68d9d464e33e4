// plimsoll trace replay: every policy, and Belady's optimum, over one trace.
#include <algorithm>
#include <cmath>

#include "base/json_text.h"
#include "cli/trace_command.h"
#include "memory/policy/make_policy.h"
#include "memory/replay/belady.h"
#include "memory/replay/replay.h"
#include "memory/replay/stack_distance.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::cli {
namespace {

using memory::policy::MakePolicy;
using memory::policy::PolicyNames;
using memory::policy::Scope;
using memory::replay::Belady;
using memory::replay::LruMissCurve;
using memory::replay::PrefillAs;
using memory::replay::ReferenceStream;
using memory::replay::Replay;
using memory::replay::ReplayCounts;

constexpr std::string_view kBelady = "belady";

struct ReplayOptions {
  std::string trace;
  std::vector<std::string> slots;  // as they were given
  std::vector<std::string> policies;
  PrefillAs prefill = PrefillAs::kChunk;
  bool json = false;
  bool curve = false;
};

struct PolicyResult {
  std::string name;
  ReplayCounts counts;
};

struct SlotsResult {
  uint32_t n_slots = 0;
  std::vector<PolicyResult> policies;  // the last is Belady
};

struct CurvePoint {
  uint32_t n_slots = 0;
  double miss_ratio = 0;
  double miss_ratio_per_layer = 0;  // with the same slots in equal shares for the layers
};

// "25%" of the experts, or a number of slots.
Result<uint32_t> ParseSlots(std::string_view text, uint32_t n_pages) {
  if (text.ends_with('%')) {
    const auto percent = ParseReal(text.substr(0, text.size() - 1));
    if (percent && *percent > 0 && *percent <= 100) {
      const auto slots = std::lround(static_cast<double>(*percent) / 100 * n_pages);
      return static_cast<uint32_t>(std::max(1L, slots));
    }
  } else if (const auto n = ParseInteger(text, 1, n_pages)) {
    return static_cast<uint32_t>(*n);
  }
  return Fail(ErrorKind::kUsage,
              "--slots {}: give a share of the experts (25%) or a number from 1 to {}", text,
              n_pages);
}

Result<SlotsResult> ReplayAll(const ReferenceStream& stream, const ReplayOptions& options,
                              uint32_t n_slots) {
  SlotsResult result = {n_slots, {}};
  for (const std::string& name : options.policies) {
    auto policy = MakePolicy(name, stream.layout());
    if (!policy) {
      return Forward(policy);
    }
    result.policies.push_back({name, Replay(stream, **policy, n_slots)});
  }
  Belady belady(stream);
  result.policies.push_back({std::string(kBelady), Replay(stream, belady, n_slots)});
  return result;
}

// Twenty sizes from a twentieth of the experts to all of them, from one pass.
std::vector<CurvePoint> MakeCurve(const ReferenceStream& stream) {
  constexpr uint32_t kPoints = 20;
  const auto global = LruMissCurve(stream, Scope::kGlobal);
  const auto per_layer = LruMissCurve(stream, Scope::kPerLayer);
  uint32_t n_layers = 0;
  for (uint32_t layer = 0; layer < stream.layout().n_layers(); ++layer) {
    n_layers += stream.layout().n_pages(layer) != 0 ? 1U : 0U;
  }
  const auto ratio = [](const memory::replay::MissCurve& curve, uint32_t n_slots) {
    return static_cast<double>(curve.misses(n_slots)) /
           static_cast<double>(std::max<uint64_t>(1, curve.n_references));
  };
  std::vector<CurvePoint> points;
  for (uint32_t i = 1; i <= kPoints; ++i) {
    const auto n_slots = static_cast<uint32_t>(uint64_t{stream.layout().n_pages()} * i / kPoints);
    points.push_back(
        {n_slots, ratio(global, n_slots), ratio(per_layer, n_slots / std::max(1U, n_layers))});
  }
  return points;
}

double Share(const ReferenceStream& stream, uint32_t n_slots) {
  return static_cast<double>(n_slots) / stream.layout().n_pages();
}

std::string Markdown(const memory::trace::Trace& trace, const ReferenceStream& stream,
                     const std::vector<SlotsResult>& results,
                     const std::vector<CurvePoint>& curve) {
  std::string text = fmt::format(
      "{}{} experts in {} layers, {} passes, {} references to {} of the experts.\n"
      "One token touches at most {}.\n",
      trace.model.empty() ? "" : TerminalSafe(trace.model) + "\n", stream.layout().n_pages(),
      stream.layout().n_layers(), stream.n_steps(), stream.n_references(), stream.n_distinct(),
      stream.decode_cycle());
  for (const SlotsResult& result : results) {
    const uint64_t least = result.policies.back().counts.decode.misses;
    text += fmt::format(
        "\n{} slots ({:.1f} %)\n\n"
        "| Policy | Misses, decode | Hit rate | Misses / Belady | Misses, prefill |\n"
        "|---|---:|---:|---:|---:|\n",
        result.n_slots, 100 * Share(stream, result.n_slots));
    for (const PolicyResult& policy : result.policies) {
      const auto& decode = policy.counts.decode;
      text += fmt::format("| {} | {} | {:.1f} % | {} | {} |\n", policy.name, decode.misses,
                          100 * decode.hit_rate(),
                          least == 0 ? "-"
                                     : fmt::format("{:.2f}", static_cast<double>(decode.misses) /
                                                                 static_cast<double>(least)),
                          policy.counts.prefill.misses);
    }
    if (result.n_slots + stream.widest_decode() <= stream.decode_cycle()) {
      text += "\nFewer slots than one token touches: a global LRU never hits.\n";
    }
  }
  if (!curve.empty()) {
    text +=
        "\nLRU's miss ratio in decode, from one pass\n\n"
        "| Slots | Share | Global | Equal shares for the layers |\n|---:|---:|---:|---:|\n";
    for (const CurvePoint& point : curve) {
      text += fmt::format("| {} | {:.0f} % | {:.3f} | {:.3f} |\n", point.n_slots,
                          100 * Share(stream, point.n_slots), point.miss_ratio,
                          point.miss_ratio_per_layer);
    }
  }
  return text;
}

void WriteCounts(JsonText& json, std::string_view key, const memory::replay::PhaseCounts& counts) {
  json.Key(key).BeginObject();
  json.Key("references").Number(counts.references).Key("misses").Number(counts.misses);
  json.Key("hit_rate").Number(counts.hit_rate()).EndObject();
}

std::string Json(const memory::trace::Trace& trace, const ReferenceStream& stream,
                 const std::vector<SlotsResult>& results, const std::vector<CurvePoint>& curve) {
  JsonText json;
  json.BeginObject().Key("model").String(trace.model);
  json.Key("n_layers").Number(stream.layout().n_layers());
  json.Key("n_experts").Number(stream.layout().n_pages());
  json.Key("n_passes").Number(stream.n_steps());
  json.Key("n_references").Number(stream.n_references());
  json.Key("n_distinct").Number(stream.n_distinct());
  json.Key("decode_cycle").Number(stream.decode_cycle());
  json.Key("results").BeginArray();
  for (const SlotsResult& result : results) {
    json.BeginObject().Key("n_slots").Number(result.n_slots);
    json.Key("share").Number(Share(stream, result.n_slots)).Key("policies").BeginArray();
    for (const PolicyResult& policy : result.policies) {
      json.BeginObject().Key("name").String(policy.name);
      WriteCounts(json, "decode", policy.counts.decode);
      WriteCounts(json, "prefill", policy.counts.prefill);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
  if (!curve.empty()) {
    json.Key("lru_curve").BeginArray();
    for (const CurvePoint& point : curve) {
      json.BeginObject().Key("n_slots").Number(point.n_slots);
      json.Key("miss_ratio").Number(point.miss_ratio);
      json.Key("miss_ratio_per_layer").Number(point.miss_ratio_per_layer).EndObject();
    }
    json.EndArray();
  }
  return json.EndObject().text() + "\n";
}

Result<std::string> RunReplay(const ReplayOptions& options) {
  const auto trace = memory::trace::ReadTrace(options.trace);
  if (!trace) {
    return tl::unexpected<Error>(trace.error());
  }
  const ReferenceStream stream(*trace, options.prefill);
  if (stream.size() == 0) {
    return Fail(ErrorKind::kFailed, "{}: nothing was decoded; try --prefill tokens", options.trace);
  }
  std::vector<SlotsResult> results;
  for (const std::string& text : options.slots) {
    auto n_slots = ParseSlots(text, stream.layout().n_pages());
    if (!n_slots) {
      return Forward(n_slots);
    }
    auto result = ReplayAll(stream, options, *n_slots);
    if (!result) {
      return Forward(result);
    }
    results.push_back(*std::move(result));
  }
  const auto curve = options.curve ? MakeCurve(stream) : std::vector<CurvePoint>();
  return options.json ? Json(*trace, stream, results, curve)
                      : Markdown(*trace, stream, results, curve);
}

void AddOptions(CommandLine& line, ReplayOptions& options) {
  line.Option("--slots", "LIST", "shares of the experts, or numbers (default 6%,12%,25%,50%)",
              [&options](const std::string& value) -> Result<> {
                options.slots = SplitAtCommas(value);
                return {};
              });
  line.Option("--policy", "LIST", "the policies to replay (default: all)",
              [&options](const std::string& value) -> Result<> {
                options.policies = SplitAtCommas(value);
                std::erase(options.policies, kBelady);  // it comes anyway
                return {};
              });
  line.Option("--prefill", "HOW",
              "the prompt: in one pass (chunk, the default), as if decoded (tokens), left out "
              "(none)",
              [&options](const std::string& value) -> Result<> {
                if (value != "chunk" && value != "tokens" && value != "none") {
                  return Fail(ErrorKind::kUsage, "{}: there are chunk, tokens and none", value);
                }
                options.prefill = value == "chunk"    ? PrefillAs::kChunk
                                  : value == "tokens" ? PrefillAs::kTokens
                                                      : PrefillAs::kNothing;
                return {};
              });
  line.Flag("--curve", "also LRU's miss ratio at twenty sizes", options.curve);
  line.Flag("--json", "one JSON object", options.json);
}

}  // namespace

Result<> TraceReplayCommand(std::vector<std::string> args, const CommandContext& context) {
  ReplayOptions options;
  options.slots = {"6%", "12%", "25%", "50%"};
  for (const auto& policy : PolicyNames()) {
    options.policies.emplace_back(policy.name);
  }
  std::optional<std::string> path;
  CommandLine line("trace replay",
                   "Count what each eviction policy, and Belady's optimum, would have missed on a\n"
                   "recorded trace. Needs no model. Reads Plimsoll's traces, route_trace v1 (CSV)\n"
                   "and colibri's ROUTE_TRACE.",
                   "plimsoll trace replay [options] TRACE");
  AddOptions(line, options);
  line.Positional("TRACE", "the recorded routing", path);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!path || path->empty()) {
    return Fail(ErrorKind::kUsage, "which trace? Give the path of its file");
  }
  options.trace = *path;
  auto text = RunReplay(options);
  return text ? context.console.Write(*text) : Forward(text);
}

}  // namespace plimsoll::cli
