#include "cli/engine_options.h"

#include <ostream>

#include "cli/find_model.h"
#include "cli/progress.h"

namespace plimsoll::cli {
namespace {

constexpr int64_t kTokensMax = int64_t{1} << 30;

Result<> SetColor(ColorMode& color, const std::string& value) {
  if (value == "auto") {
    color = ColorMode::kAuto;
  } else if (value == "always") {
    color = ColorMode::kAlways;
  } else if (value == "never") {
    color = ColorMode::kNever;
  } else {
    return Fail(ErrorKind::kUsage, "\"{}\" is not one of auto, always, never", value);
  }
  return {};
}

}  // namespace

void AddEngineOptions(CommandLine& line, EngineFlags& flags) {
  engine::EngineOptions& engine = flags.engine;
  line.Topic("Model and machine");
  line.Option("-m,--model", "MODEL",
              "a file, a folder, or a name that list shows (default: bundled)",
              [&engine](const std::string& value) -> Result<> {
                if (value.empty()) {
                  return Fail(ErrorKind::kUsage, "the path is empty");
                }
                engine.model = value;
                return {};
              });
  AddMachineOptions(line, flags);
}

void AddMachineOptions(CommandLine& line, EngineFlags& flags) {
  engine::EngineOptions& engine = flags.engine;
  AddModelsDirOption(line, flags.models_dirs);
  line.Option("--memory", "SIZE", "the most memory to use: 8G, 512M, 130% (of the file)",
              [&engine](const std::string& value) -> Result<> {
                auto size = ParseSize(value);
                if (!size) {
                  return Forward(size);
                }
                engine.memory = *size;
                return {};
              });
  line.Integer("-c,--ctx-size", "context in tokens (default 0: the model's, up to 4096)",
               engine.n_ctx, 0, kTokensMax);
  line.Integer("-t,--threads", "threads (default 0: the physical cores)", engine.n_threads, 0,
               kThreadsMax);
  line.Text("--kernels", "NAME", "ref, avx2 or avx512 (default: the fastest here)", engine.kernels);
  line.Text("--policy", "NAME", "which experts leave memory first (default: forecast)",
            engine.policy);
  line.Text("--prefetch", "HOW", "guess the next layer's experts: router (default), pairs or off",
            engine.prefetch);
  line.Flag("--no-packed", "read experts from the model itself, not from its packed file",
            flags.no_packed);
  line.Flag("--no-profile", "neither use nor keep how popular each expert was in earlier runs",
            flags.no_profile);
  line.Text("--io", "NAME", "how experts are read: io_uring, threads or buffered", engine.io);
  line.Integer("--prefill-chunk,--batch,-b,--batch-size",
               "prompt tokens computed together (default 512)", engine.prefill_chunk, 1,
               kTokensMax);
}

void AddOutputOptions(CommandLine& line, EngineFlags& flags) {
  line.Option("--color", "WHEN", "auto, always or never (NO_COLOR is honoured)",
              [&flags](const std::string& value) { return SetColor(flags.color, value); });
  line.Flag("-v,--verbose", "say more on standard error", flags.verbose);
  line.Flag("-q,--quiet", "say nothing on standard error but errors", flags.quiet);
}

engine::EngineOptions OptionsToLoad(const EngineFlags& flags) {
  engine::EngineOptions options = flags.engine;
  options.packed = !flags.no_packed;
  if (!flags.no_profile) {
    options.profiles = engine::ProfileFolderOfUser();
  }
  options.on_note = [log = Log(flags.log_level())](std::string_view note) { log.Info("{}", note); };
  return options;
}

Result<std::unique_ptr<engine::Engine>> LoadEngine(const LoadFn& load, const EngineFlags& flags,
                                                   const Console& console) {
  const std::string name = !flags.engine.model        ? std::string("bundled model")
                           : flags.model_name.empty() ? flags.engine.model->filename().string()
                                                      : flags.model_name;
  const engine::EngineOptions options = OptionsToLoad(flags);
  Progress progress(name, console.err_is_terminal);
  const bool silent = flags.quiet;
  auto engine = load(options, [&](const engine::LoadProgress& at) {
    if (!silent) {
      console.err << progress.Update(at.bytes_done, at.bytes_total, SecondsNow()) << std::flush;
    }
  });
  console.err << progress.Clear() << std::flush;
  if (engine && flags.verbose) {
    const engine::ModelSummary& summary = (*engine)->summary();
    Log(flags.log_level())
        .Debug("{} ({}), {} layers, {}; context {} of {}; kernels {}, {} threads", summary.name,
               summary.architecture, summary.n_layers, FormatBytes(summary.file_bytes),
               summary.n_ctx, summary.n_ctx_train, summary.kernels, summary.n_threads);
  }
  return engine;
}

}  // namespace plimsoll::cli
