// The models of plimsoll serve: which there are, by what names, and the set that shares the line
// between them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/engine_options.h"
#include "engine/service.h"
#include "server/model_set.h"

namespace plimsoll::cli {

struct ServeModelFlags {
  std::vector<std::string> models;   // -m, as given
  std::vector<std::string> aliases;  // of the first
  std::optional<double> keep_alive_seconds;
};

// -m, which may be given several times, --alias and --keep-alive.
void AddServeModelOptions(CommandLine& line, ServeModelFlags& flags);

struct ServedModel {
  server::ModelSource source;
  std::optional<std::filesystem::path> path;  // none: the bundled one
};

// Those that -m names, in that order, then all of --models-dir; the bundled one when there are
// neither. A model is called what `list` calls it, an alias by its name, a file by its stem.
// `notes` gets a line for each that is left out, with the reason. kUsage for two that -m names and
// that would be called the same.
[[nodiscard]] Result<std::vector<ServedModel>> FindServedModels(const ServeModelFlags& flags,
                                                                const EngineFlags& engine,
                                                                const CommandContext& context,
                                                                std::vector<std::string>& notes);

// The line is what --memory means for the first of them; of it connections may take
// connection_bytes. Nothing is loaded yet.
[[nodiscard]] Result<std::unique_ptr<server::ModelSet>> MakeModelSet(
    std::vector<ServedModel> models, const ServeModelFlags& flags, const EngineFlags& engine,
    const engine::ServiceOptions& service, std::optional<uint64_t> connection_bytes,
    const CommandContext& context);

}  // namespace plimsoll::cli
