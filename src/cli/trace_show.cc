// plimsoll trace show: what a trace says about caching its model's experts.
#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/trace_command.h"
#include "memory/replay/locality.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::cli {
namespace {

using memory::policy::Phase;
using memory::replay::LayerLocality;
using memory::replay::MeasureLocality;
using memory::replay::PrefillAs;
using memory::replay::ReferenceStream;
using memory::trace::Trace;

struct TokenCounts {
  uint64_t prefill = 0;
  uint64_t decode = 0;
};

// Of the first layer of each pass, which has them all.
TokenCounts CountTokens(const Trace& trace) {
  TokenCounts counts;
  for (size_t i = 0; i < trace.visits.size(); ++i) {
    const auto& visit = trace.visits[i];
    if (i == 0 || visit.pass != trace.visits[i - 1].pass) {
      (visit.phase == Phase::kPrefill ? counts.prefill : counts.decode) += visit.n_tokens;
    }
  }
  return counts;
}

std::string Row(std::string_view name, const LayerLocality& locality) {
  return fmt::format("| {} | {} | {} | {} | {:.1f} % | {:.1f} % |\n", name, locality.n_experts,
                     locality.n_used, locality.n_references, 100 * locality.shared_with_last,
                     100 * locality.busiest_quarter);
}

std::string Markdown(const Trace& trace, const ReferenceStream& stream,
                     const std::vector<LayerLocality>& layers) {
  const TokenCounts tokens = CountTokens(trace);
  uint64_t bytes = 0;
  uint32_t n_active = 0;
  uint32_t n_near = 0;
  for (const auto& layer : trace.layers) {
    bytes += layer.expert_bytes * layer.n_experts;
    n_active = std::max(n_active, layer.n_active);
    n_near = std::max(n_near, layer.n_ranked - layer.n_active);
  }
  std::string text;
  text += fmt::format("model          {}\n", trace.model.empty() ? "-" : TerminalSafe(trace.model));
  text += fmt::format("architecture   {}\n",
                      trace.architecture.empty() ? "-" : TerminalSafe(trace.architecture));
  text += fmt::format("experts        {} in {} layers{}, {} a token and layer\n",
                      stream.layout().n_pages(), layers.size(),
                      bytes == 0 ? "" : ", " + FormatBytes(bytes), n_active);
  text += fmt::format("near-misses    {} a token and layer\n", n_near);
  text += fmt::format("tokens         {} of prompts, {} decoded\n", tokens.prefill, tokens.decode);
  text += fmt::format("working set    {} of a token, {} of the whole trace\n\n",
                      stream.decode_cycle(), stream.n_distinct());
  text +=
      "| Layer | Experts | Used | References | Shared with the last token | "
      "To the busiest quarter |\n|---:|---:|---:|---:|---:|---:|\n";
  for (const LayerLocality& layer : layers) {
    text += Row(std::to_string(layer.layer), layer);
  }
  return text + Row("all", Total(layers));
}

std::string Json(const Trace& trace, const ReferenceStream& stream,
                 const std::vector<LayerLocality>& layers) {
  const TokenCounts tokens = CountTokens(trace);
  JsonText json;
  json.BeginObject().Key("model").String(trace.model);
  json.Key("architecture").String(trace.architecture);
  json.Key("n_experts").Number(stream.layout().n_pages());
  json.Key("n_tokens_prefill").Number(tokens.prefill);
  json.Key("n_tokens_decode").Number(tokens.decode);
  json.Key("decode_cycle").Number(stream.decode_cycle());
  json.Key("n_distinct").Number(stream.n_distinct());
  json.Key("layers").BeginArray();
  for (const LayerLocality& layer : layers) {
    json.BeginObject().Key("layer").Number(layer.layer);
    json.Key("n_experts").Number(layer.n_experts).Key("n_used").Number(layer.n_used);
    json.Key("n_references").Number(layer.n_references);
    json.Key("shared_with_last").Number(layer.shared_with_last);
    json.Key("busiest_quarter").Number(layer.busiest_quarter).EndObject();
  }
  return json.EndArray().EndObject().text() + "\n";
}

}  // namespace

Result<> TraceShowCommand(std::vector<std::string> args, const CommandContext& context) {
  bool json = false;
  std::optional<std::string> path;
  CommandLine line("trace show",
                   "Print how a model routed in a recorded trace: how much tokens share, how "
                   "skewed\nthe choice is, what a token touches. Figures by layer are of decoding.",
                   "plimsoll trace show [options] TRACE");
  line.Flag("--json", "one JSON object", json);
  line.Positional("TRACE", "the recorded routing", path);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!path || path->empty()) {
    return Fail(ErrorKind::kUsage, "which trace? Give the path of its file");
  }
  const auto trace = memory::trace::ReadTrace(*path);
  if (!trace) {
    return tl::unexpected<Error>(trace.error());
  }
  const ReferenceStream stream(*trace, PrefillAs::kChunk);
  const auto layers = MeasureLocality(stream);
  return context.console.Write(json ? Json(*trace, stream, layers)
                                    : Markdown(*trace, stream, layers));
}

}  // namespace plimsoll::cli
