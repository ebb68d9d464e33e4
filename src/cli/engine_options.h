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

struct EngineFlags {
  engine::EngineOptions engine;  // its model as -m names it, until FindModel
  std::vector<std::filesystem::path> models_dirs;
  std::string model_name;  // for messages; by FindModel
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
void AddEngineOptions(CommandLine& line, EngineFlags& flags);
// What a model is loaded with, and --models-dir.
void AddMachineOptions(CommandLine& line, EngineFlags& flags);
void AddOutputOptions(CommandLine& line, EngineFlags& flags);

// The engine's options with all that the flags say beside them.
[[nodiscard]] engine::EngineOptions OptionsToLoad(const EngineFlags& flags);

// Loads with a progress bar on `console.err` (on a terminal; else a line every ten seconds).
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> LoadEngine(const LoadFn& load,
                                                                 const EngineFlags& flags,
                                                                 const Console& console);

}  // namespace plimsoll::cli
