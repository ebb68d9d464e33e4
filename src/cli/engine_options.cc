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

// Takes a type that is to be the same for keys and values.
CommandLine::Setter SetKvType(KvOptions& kv, std::optional<tensor::KvType> KvOptions::*part) {
  return [&kv, part](const std::string& value) -> Result<> {
    const auto type = kv::ParseKvType(value);
    if (!type) {
      return tl::unexpected(type.error());
    }
    kv.*part = *type;
    return {};
  };
}

}  // namespace

void AddWindowOptions(CommandLine& line, kv::policy::PolicyOptions& policy) {
  line.Option("--kv-reference", "N", "so many first tokens, or the prompt, stay beside a window",
              [&policy](const std::string& value) -> Result<> {
                auto reference = kv::policy::ParseReference(value);
                if (!reference) {
                  return Forward(reference);
                }
                policy.reference = *reference;
                return {};
              });
  line.Option("--kv-positions", "HOW", "of what a window keeps: kept (default) or compact",
              [&policy](const std::string& value) -> Result<> {
                auto positions = kv::policy::ParsePositions(value);
                if (!positions) {
                  return Forward(positions);
                }
                policy.positions = *positions;
                return {};
              });
}

void AddKvOptions(CommandLine& line, KvOptions& kv) {
  line.Option("--kv-type", "TYPE", "keys and values as f16 (default), bf16, q8 or q4",
              SetKvType(kv, &KvOptions::type));
  line.Option("--kv-type-layers", "LIST", "other types of some layers: 0-1=f16,5=q8",
              [&kv](const std::string& value) -> Result<> {
                auto layers = kv::ParseKvTypeLayers(value);
                if (!layers) {
                  return Forward(layers);
                }
                kv.layers = *std::move(layers);
                return {};
              });
  line.Flag("--kv-rotate", "turn quantized keys, so that no channel stands out", kv.rotate);
  line.Option("--kv-policy", "NAME",
              "which stay: full (default), window, block, snap, arkv, episode",
              [&kv](const std::string& value) -> Result<> {
                auto kind = kv::policy::ParsePolicy(value);
                if (!kind) {
                  return Forward(kind);
                }
                kv.policy.kind = *kind;
                return {};
              });
  line.Option("--kv-budget", "SIZE", "what a sequence may keep then: 25% (of its context), 512M",
              [&kv](const std::string& value) -> Result<> {
                auto size = ParseSize(value);
                if (!size) {
                  return Forward(size);
                }
                kv.policy.budget = *size;
                return {};
              });
  AddWindowOptions(line, kv.policy);
  line.Option("-ctk,--cache-type-k", "TYPE", "", SetKvType(kv, &KvOptions::keys));
  line.Option("-ctv,--cache-type-v", "TYPE", "", SetKvType(kv, &KvOptions::values));
}

Result<kv::Precision> PrecisionOf(const KvOptions& options) {
  using tensor::KvType;
  kv::Precision precision = {.type = options.type.value_or(KvType::kF16),
                             .layers = options.layers,
                             .rotate = options.rotate};
  if (!options.keys && !options.values) {
    return precision;
  }
  const KvType keys = options.keys.value_or(KvType::kF16);
  const KvType values = options.values.value_or(KvType::kF16);
  if (keys != values) {
    return Fail(
        ErrorKind::kUsage,
        "--cache-type-k {} and --cache-type-v {}: keys and values are of one type here\ngive "
        "both the same, or --kv-type",
        NameOf(keys), NameOf(values));
  }
  if (options.type && *options.type != keys) {
    return Fail(ErrorKind::kUsage, "--kv-type {} and --cache-type-k {} say different things",
                NameOf(*options.type), NameOf(keys));
  }
  precision.type = keys;
  return precision;
}

void AddEngineOptions(CommandLine& line, EngineFlags& flags, bool with_kv) {
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
  AddMachineOptions(line, flags, with_kv);
}

void AddMachineOptions(CommandLine& line, EngineFlags& flags, bool with_kv) {
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
  if (with_kv) {
    AddKvOptions(line, flags.kv);
  }
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

Result<engine::EngineOptions> OptionsToLoad(const EngineFlags& flags) {
  engine::EngineOptions options = flags.engine;
  auto precision = PrecisionOf(flags.kv);
  if (!precision) {
    return Forward(precision);
  }
  options.kv = *std::move(precision);
  if (auto checked = kv::policy::Check(flags.kv.policy); !checked) {
    return tl::unexpected(checked.error().ForCommandLine());
  }
  options.kv_policy = flags.kv.policy;
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
  const auto options = OptionsToLoad(flags);
  if (!options) {
    return tl::unexpected(options.error());
  }
  Progress progress(name, console.err_is_terminal);
  const bool silent = flags.quiet;
  auto engine = load(*options, [&](const engine::LoadProgress& at) {
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
