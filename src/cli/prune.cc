#include "cli/prune.h"

#include <algorithm>
#include <ostream>

#include <fmt/ranges.h>

#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/command_line.h"
#include "cli/find_model.h"
#include "cli/long_work.h"

namespace plimsoll::cli {
namespace {

struct PruneFlags {
  std::optional<std::string> model;
  std::optional<std::string> output;
  std::optional<std::string> scored;
  std::vector<std::filesystem::path> folders;
  double ratio = 0.25;
  uint32_t n_threads = 0;
  bool force = false;
  bool json = false;
  bool quiet = false;
};

void Declare(CommandLine& line, PruneFlags& flags) {
  line.Positional("IN", "a file, a folder, or a name that list shows", flags.model);
  line.Positional("OUT", "the GGUF to write", flags.output);
  AddModelsDirOption(line, flags.folders);
  line.Option("--ratio", "SHARE", "of each layer's experts that go (default 25%)",
              [&flags](const std::string& value) -> Result<> {
                auto ratio = ParseRatio(value);
                if (!ratio) {
                  return Forward(ratio);
                }
                flags.ratio = *ratio;
                return {};
              });
  line.Text("--scores-of", "MODEL",
            "score the experts of this one instead: the original that IN was quantized from",
            flags.scored);
  line.Flag("--force", "replace OUT when it is there", flags.force);
  line.Integer("-t,--threads", "threads (default 0: the physical cores)", flags.n_threads, 0, 1024);
  line.Flag("--json", "one JSON object, with every expert's score", flags.json);
  line.Flag("-q,--quiet", "say nothing on standard error but errors", flags.quiet);
}

constexpr std::string_view kQuantizedNote =
    "note: the experts were scored by quantized weights, which are others than the original's;\n"
    "--scores-of names the model to score\n";

}  // namespace

Result<double> ParseRatio(const std::string& text) {
  const bool is_percent = text.ends_with('%');
  const auto number = ParseReal(is_percent ? text.substr(0, text.size() - 1) : text);
  const double ratio = number ? double{*number} / (is_percent ? 100 : 1) : 0;
  if (!(ratio > 0 && ratio < 1)) {
    return Fail(ErrorKind::kUsage, "{} is no share like 25% or 0.25", text);
  }
  return ratio;
}

Result<> PruneCommand(std::vector<std::string> args, const CommandContext& context) {
  PruneFlags flags;
  CommandLine line(
      "prune",
      "Write a model anew with fewer experts: of every layer those go whose weights are\n"
      "the most alike (AIMER), with their rows of the router. What stays keeps its\n"
      "bits. The model says something else then: measure it with eval. OUT is there\n"
      "when all of it is written, and not before.",
      "plimsoll prune [options] IN OUT");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.model || !flags.output || flags.model->empty() || flags.output->empty()) {
    return Fail(ErrorKind::kUsage,
                "which model, and which file to write? For example\n"
                "plimsoll prune --ratio 25% model.gguf model-pruned.gguf");
  }
  for (std::optional<std::string>* name : {&flags.model, &flags.scored}) {
    if (name->has_value()) {
      if (auto found = FindModel(*name, flags.folders, context); !found) {
        return found;
      }
    }
  }
  LongWork work("pruning", std::filesystem::path(*flags.model).filename().string(), flags.quiet,
                context);
  const auto pruned = engine::PruneModel(
      {.model = *flags.model,
       .output = *flags.output,
       .scored = flags.scored ? std::optional<std::filesystem::path>(*flags.scored) : std::nullopt,
       .ratio = flags.ratio,
       .replaces = flags.force,
       .n_threads = flags.n_threads,
       .on_progress = work.on_progress(),
       .is_stopped = work.is_stopped()});
  if (!pruned) {
    return tl::unexpected<Error>(pruned.error());
  }
  const double seconds = work.seconds();
  if (pruned->is_quantized && !flags.quiet) {
    context.console.err << kQuantizedNote;
  }
  return context.console.Write(flags.json ? PruneJson(*pruned, *flags.output, seconds)
                                          : PruneText(*pruned, *flags.output, seconds));
}

std::string PruneText(const engine::PrunedModel& model, const std::string& output, double seconds) {
  std::string text;
  for (const engine::LayerPruning& layer : model.layers) {
    double least = 1;
    for (const uint32_t expert : layer.removed) {
      least = std::min(least, layer.scores[expert]);
    }
    text += fmt::format("layer {}: scores {:.4f} to {:.4f}; from {:.4f} on went {}\n",
                        layer.layer_idx, std::ranges::min(layer.scores),
                        std::ranges::max(layer.scores), least, fmt::join(layer.removed, " "));
  }
  const engine::LayerPruning& any = model.layers.front();
  return text + fmt::format("{}: {} of {} experts a layer, {} made {}, in {:.1f} s\n",
                            TerminalSafe(output), any.kept.size(), any.scores.size(),
                            FormatBytes(model.bytes_before), FormatBytes(model.bytes), seconds);
}

std::string PruneJson(const engine::PrunedModel& model, const std::string& output, double seconds) {
  JsonText json;
  json.BeginObject().Key("output").String(output);
  json.Key("bytes_before").Number(model.bytes_before).Key("bytes").Number(model.bytes);
  json.Key("scored_quantized").Bool(model.is_quantized);
  json.Key("layers").BeginArray();
  for (const engine::LayerPruning& layer : model.layers) {
    json.BeginObject().Key("layer").Number(uint64_t{layer.layer_idx});
    json.Key("removed").BeginArray();
    for (const uint32_t expert : layer.removed) {
      json.Number(uint64_t{expert});
    }
    json.EndArray().Key("scores").BeginArray();
    for (const double score : layer.scores) {
      json.Number(score);
    }
    json.EndArray().EndObject();
  }
  json.EndArray().Key("seconds").Number(seconds).EndObject();
  return json.text() + '\n';
}

}  // namespace plimsoll::cli
