// The options that every command with a model has, and loading by them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "cli/command_line.h"
#include "cli/console.h"
#include "engine/engine.h"

namespace plimsoll::cli {

// How an engine comes to be: engine::Engine::Load, or what a test puts in its place.
using LoadFn = std::function<Result<std::unique_ptr<engine::Engine>>(
    const engine::EngineOptions&, const engine::Engine::ProgressFn&)>;

inline constexpr uint32_t kThreadsMax = 4096;

// --kv-type and what goes with it; -ctk and -ctv, which llama.cpp sets apart.
struct KvOptions {
  std::optional<tensor::KvType> type;
  std::optional<tensor::KvType> keys;
  std::optional<tensor::KvType> values;
  std::vector<kv::Precision::Layers> layers;
  bool rotate = false;
  kv::policy::PolicyOptions policy;
};

struct EngineFlags {
  engine::EngineOptions engine;  // its model as -m names it, until FindModel
  std::vector<std::filesystem::path> models_dirs;
  std::string model_name;  // for messages; by FindModel
  KvOptions kv;
  bool no_packed = false;
  bool no_profile = false;
  ColorMode color = ColorMode::kAuto;
  bool verbose = false;
  bool quiet = false;

  [[nodiscard]] LogLevel log_level() const {
    return quiet ? LogLevel::kQuiet : verbose ? LogLevel::kDebug : LogLevel::kInfo;
  }
};

// -m and the next.
// `with_kv`: AddKvOptions among them.
void AddEngineOptions(CommandLine& line, EngineFlags& flags, bool with_kv = true);
// What a model is loaded with, and --models-dir.
void AddMachineOptions(CommandLine& line, EngineFlags& flags, bool with_kv = true);
void AddKvOptions(CommandLine& line, KvOptions& kv);
// Those of them that are a window's alone.
void AddWindowOptions(CommandLine& line, kv::policy::PolicyOptions& policy);
void AddOutputOptions(CommandLine& line, EngineFlags& flags);

// kUsage where keys and values are to be of different types.
[[nodiscard]] Result<kv::Precision> PrecisionOf(const KvOptions& options);

// The engine's options with all that the flags say beside them. kUsage as PrecisionOf.
[[nodiscard]] Result<engine::EngineOptions> OptionsToLoad(const EngineFlags& flags);

// Loads with a progress bar on `console.err` (on a terminal; else a line every ten seconds).
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> LoadEngine(const LoadFn& load,
                                                                 const EngineFlags& flags,
                                                                 const Console& console);

}  // namespace plimsoll::cli
