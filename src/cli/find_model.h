// -m, and what its names mean: formats::store, with the aliases of config.toml.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/engine_options.h"
#include "formats/store/places.h"

namespace plimsoll::cli {

// The table of config.toml whose keys are names for models:
//   [models]
//   small = "~/models/small.gguf"      or relative to config.toml's folder, or a name in a store
inline constexpr std::string_view kAliasesTable = "models";

// kUsage for an alias that is no single text.
[[nodiscard]] Result<> CheckAliases(const Settings& settings);

// --models-dir, which may be given several times.
void AddModelsDirOption(CommandLine& line, std::vector<std::filesystem::path>& folders);

// Where models are looked for: context.places with the folders and the aliases.
[[nodiscard]] formats::store::Places PlacesOf(const CommandContext& context,
                                              const std::vector<std::filesystem::path>& folders);

// formats::store::FindModel; without context.places (in tests) the name, as a path.
[[nodiscard]] Result<std::filesystem::path> FindModel(
    std::string_view name, const std::vector<std::filesystem::path>& folders,
    const CommandContext& context);
// The same of what -m was given, when it was, in its place.
[[nodiscard]] Result<> FindModel(EngineFlags& flags, const CommandContext& context);
[[nodiscard]] Result<> FindModel(std::optional<std::string>& model,
                                 const std::vector<std::filesystem::path>& folders,
                                 const CommandContext& context);

// Whether a first argument that is no command may be a model: hf:, ollama:, lmstudio:.
[[nodiscard]] bool HasStorePrefix(std::string_view name);

}  // namespace plimsoll::cli
