#include "cli/pack.h"

#include <ostream>

#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/command_line.h"
#include "cli/find_model.h"
#include "cli/long_work.h"

namespace plimsoll::cli {
namespace {

struct PackFlags {
  std::optional<std::string> model;
  std::vector<std::filesystem::path> folders;
  std::optional<std::string> output;
  bool force = false;
  bool json = false;
  bool quiet = false;
};

void Declare(CommandLine& line, PackFlags& flags) {
  line.Text("-m,--model", "MODEL", "the same as MODEL", flags.model);
  line.Positional("MODEL", "a file, a folder, or a name that list shows", flags.model);
  AddModelsDirOption(line, flags.folders);
  line.Text("-o,--output", "FILE", "the packed file (default: MODEL.plimsoll, where run finds it)",
            flags.output);
  line.Flag("--force", "pack anew, also when it is packed already", flags.force);
  line.Flag("--json", "one JSON object", flags.json);
  line.Flag("-q,--quiet", "say nothing on standard error but errors", flags.quiet);
}

}  // namespace

Result<> PackCommand(std::vector<std::string> args, const CommandContext& context) {
  PackFlags flags;
  CommandLine line("pack",
                   "Write a model's experts into a side file, each as one aligned, checksummed\n"
                   "record in the layout that kernels like best, so that an expert that is not in\n"
                   "memory is one read. It takes as much disk as the experts do. What was stopped\n"
                   "or killed is gone on with by the same command.",
                   "plimsoll pack [options] MODEL");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.model || flags.model->empty()) {
    return Fail(ErrorKind::kUsage,
                "which model? Give its file or folder, or a name that plimsoll list shows");
  }
  if (auto found = FindModel(flags.model, flags.folders, context); !found) {
    return found;
  }
  engine::PackModelOptions options;
  options.model = *flags.model;
  options.anew = flags.force;
  if (flags.output) {
    options.output = *flags.output;
  }
  LongWork work("packing", options.model.filename().string(), flags.quiet, context);
  options.pack.on_progress = work.on_progress();
  options.pack.is_stopped = work.is_stopped();
  const auto packed = engine::PackModel(options);
  if (!packed) {
    if (packed.error().kind == ErrorKind::kInterrupted && !flags.quiet) {
      context.console.err << "\nstopped; the same command goes on from here\n";
    }
    return tl::unexpected<Error>(packed.error());
  }
  const double seconds = work.seconds();
  return context.console.Write(flags.json ? PackJson(*packed, seconds)
                                          : PackText(*packed, seconds));
}

std::string PackText(const engine::PackedModel& packed, double seconds) {
  const std::string what =
      fmt::format("{}: {} experts of {} layers", TerminalSafe(packed.path.string()),
                  packed.n_experts, packed.n_layers);
  if (packed.was_there) {
    return what + ", packed already. --force packs anew, verify looks at its checksums\n";
  }
  const auto& outcome = packed.outcome;
  const std::string kept = outcome.n_matrices_kept == 0
                               ? ""
                               : fmt::format("; {} of {} matrices were there from an earlier run",
                                             outcome.n_matrices_kept, outcome.n_matrices);
  return fmt::format("{}, {}, in {:.1f} s{}\n", what, FormatBytes(outcome.file_bytes), seconds,
                     kept);
}

std::string PackJson(const engine::PackedModel& packed, double seconds) {
  JsonText json;
  json.BeginObject().Key("packed").String(packed.path.string());
  json.Key("was_there").Bool(packed.was_there);
  json.Key("layers").Number(packed.n_layers).Key("experts").Number(packed.n_experts);
  if (!packed.was_there) {
    json.Key("bytes").Number(packed.outcome.file_bytes);
    json.Key("bytes_read").Number(packed.outcome.read_bytes);
    json.Key("matrices").Number(packed.outcome.n_matrices);
    json.Key("matrices_kept").Number(packed.outcome.n_matrices_kept);
    json.Key("seconds").Number(seconds);
  }
  json.EndObject();
  return json.text() + '\n';
}

}  // namespace plimsoll::cli
