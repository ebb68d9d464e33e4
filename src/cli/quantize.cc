#include "cli/quantize.h"

#include <algorithm>
#include <ostream>

#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/command_line.h"
#include "cli/find_model.h"
#include "cli/left_out_json.h"
#include "cli/long_work.h"

namespace plimsoll::cli {
namespace {

struct QuantizeFlags {
  std::optional<std::string> model;
  std::optional<std::string> output;
  std::optional<std::string> type;
  std::vector<std::filesystem::path> folders;
  std::vector<engine::TypeOverride> overrides;
  uint32_t n_threads = 0;
  bool is_pure = false;
  std::optional<std::string> imatrix;
  bool without_importance = false;
  bool requantizes = false;
  bool force = false;
  bool json = false;
  bool quiet = false;
};

void Declare(CommandLine& line, QuantizeFlags& flags) {
  line.Positional("IN", "a file, a folder, or a name that list shows", flags.model);
  line.Positional("OUT", "the GGUF to write", flags.output);
  line.Positional("TYPE", "a type that weights can have, or a mix: Q4_K_M, Q8_0, ...", flags.type);
  AddModelsDirOption(line, flags.folders);
  line.Repeated("--tensor", "NAME=TYPE",
                "another type for tensors of this name, in which * is any text; the first counts",
                [&flags](const std::string& value) -> Result<> {
                  auto parsed = ParseTypeOverride(value);
                  if (!parsed) {
                    return Forward(parsed);
                  }
                  flags.overrides.push_back(*std::move(parsed));
                  return {};
                });
  line.Flag("--pure", "all matrices in TYPE, also where a mix of that name has more bits",
            flags.is_pure);
  line.Text("--imatrix", "FILE", "an importance matrix: what eval imatrix writes, or llama.cpp",
            flags.imatrix);
  line.Flag("--no-imatrix", "go on without an importance matrix where a type wants one",
            flags.without_importance);
  line.Flag("--requantize", "also tensors that are quantized already, which lose a second time",
            flags.requantizes);
  line.Flag("--force", "replace OUT when it is there", flags.force);
  line.Integer("-t,--threads", "threads (default 0: the physical cores)", flags.n_threads, 0, 1024);
  line.Flag("--json", "one JSON object", flags.json);
  line.Flag("-q,--quiet", "say nothing on standard error but errors", flags.quiet);
}

Result<tensor::DType> ParseType(const std::string& name) {
  const auto dtype = tensor::DTypeFromName(name);
  if (!dtype) {
    return Fail(ErrorKind::kUsage, "{} is no type that weights can have here", name);
  }
  return *dtype;
}

Result<engine::QuantizeMix> ParseMix(const std::string& name, bool is_pure) {
  const auto dtype = tensor::DTypeFromName(name);
  if (is_pure && dtype) {
    return engine::PureMix(*dtype);
  }
  if (is_pure) {
    return Fail(ErrorKind::kUsage, "{} is no type, and --pure wants one", name);
  }
  if (const engine::QuantizeMix* const mix = engine::FindMix(name)) {
    return *mix;
  }
  std::vector<std::string_view> names;
  for (const engine::QuantizeMix& mix : engine::AllMixes()) {
    names.push_back(mix.name);
  }
  return Fail(ErrorKind::kUsage, "{} is no type or mix of types. There are {}", name,
              fmt::join(names, ", "));
}

}  // namespace

Result<engine::TypeOverride> ParseTypeOverride(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return Fail(ErrorKind::kUsage, "{} is not like blk.*.ffn_down.weight=Q8_0", text);
  }
  auto dtype = ParseType(text.substr(equals + 1));
  if (!dtype) {
    return Forward(dtype);
  }
  return engine::TypeOverride{.pattern = text.substr(0, equals), .dtype = *dtype};
}

Result<> QuantizeCommand(std::vector<std::string> args, const CommandContext& context) {
  QuantizeFlags flags;
  CommandLine line(
      "quantize",
      "Write a model anew with its matrices in another type, and say how much each of\n"
      "them lost. Vectors, norms and routers stay as they are; where TYPE names a mix of\n"
      "llama.cpp's, some matrices get more bits than most. OUT is there when all of it is written, "
      "and not\n"
      "before.",
      "plimsoll quantize [options] IN OUT TYPE");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.model || !flags.output || !flags.type || flags.model->empty() ||
      flags.output->empty()) {
    return Fail(ErrorKind::kUsage,
                "which model, which file to write, and which type? For example\n"
                "plimsoll quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M");
  }
  auto mix = ParseMix(*flags.type, flags.is_pure);
  if (!mix) {
    return Forward(mix);
  }
  if (auto found = FindModel(flags.model, flags.folders, context); !found) {
    return found;
  }
  LongWork work("quantizing", std::filesystem::path(*flags.model).filename().string(), flags.quiet,
                context);
  const auto quantized =
      engine::QuantizeModel({.model = *flags.model,
                             .output = *flags.output,
                             .plan = {.mix = *mix,
                                      .overrides = std::move(flags.overrides),
                                      .requantizes = flags.requantizes,
                                      .without_importance = flags.without_importance},
                             .imatrix = std::move(flags.imatrix),
                             .replaces = flags.force,
                             .n_threads = flags.n_threads,
                             .on_progress = work.on_progress(),
                             .is_stopped = work.is_stopped()});
  if (!quantized) {
    return tl::unexpected<Error>(quantized.error());
  }
  const double seconds = work.seconds();
  return context.console.Write(flags.json ? QuantizeJson(*quantized, *flags.output, seconds)
                                          : QuantizeText(*quantized, *flags.output, seconds));
}

std::string QuantizeText(const engine::QuantizedModel& model, const std::string& output,
                         double seconds) {
  size_t width = 0;
  for (const engine::QuantizedTensor& tensor : model.tensors) {
    width = std::max(width, TerminalSafe(tensor.name).size());
  }
  std::string text;
  for (const engine::QuantizedTensor& tensor : model.tensors) {
    const std::string_view from = tensor::Traits(tensor.from).name;
    const std::string_view to = tensor::Traits(tensor.to).name;
    text += fmt::format("{:<{}}  {:>5} ", TerminalSafe(tensor.name), width, from);
    text += tensor.from == tensor.to ? fmt::format("stays {:>10}\n", FormatBytes(tensor.bytes))
                                     : fmt::format("{:>5} {:>10}  error {:.3f} %\n", to,
                                                   FormatBytes(tensor.bytes), 100 * tensor.error);
  }
  for (const formats::LeftOut& left_out : model.left_out) {
    text += fmt::format("left out: {} tensors of {}, {}\n", left_out.n_tensors, left_out.what,
                        FormatBytes(left_out.bytes));
  }
  return text + fmt::format("{}: {} tensors, {} made {}, in {:.1f} s\n", TerminalSafe(output),
                            model.tensors.size(), FormatBytes(model.bytes_before),
                            FormatBytes(model.bytes), seconds);
}

std::string QuantizeJson(const engine::QuantizedModel& model, const std::string& output,
                         double seconds) {
  JsonText json;
  json.BeginObject().Key("output").String(output);
  json.Key("bytes_before").Number(model.bytes_before).Key("bytes").Number(model.bytes);
  json.Key("tensors").BeginArray();
  for (const engine::QuantizedTensor& tensor : model.tensors) {
    json.BeginObject().Key("name").String(tensor.name);
    json.Key("from").String(tensor::Traits(tensor.from).name);
    json.Key("to").String(tensor::Traits(tensor.to).name);
    json.Key("bytes").Number(tensor.bytes).Key("error").Number(tensor.error).EndObject();
  }
  json.EndArray();
  PutLeftOut(json, model.left_out);
  json.Key("seconds").Number(seconds).EndObject();
  return json.text() + '\n';
}

}  // namespace plimsoll::cli
