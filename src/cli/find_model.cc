#include "cli/find_model.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "formats/store/find_model.h"

namespace plimsoll::cli {
namespace {

namespace fs = std::filesystem;

bool IsAlias(const Setting& setting) {
  return setting.scope.size() == 1 && setting.scope.front() == kAliasesTable;
}

// What an alias stands for: a path from config.toml's folder or from home, if such a file is there.
std::string Target(const std::string& value, const fs::path& settings_file) {
  const char* home = std::getenv("HOME");
  if (value.starts_with("~/") && home != nullptr) {
    return (fs::path(home) / value.substr(2)).string();
  }
  const fs::path beside = settings_file.parent_path() / value;
  std::error_code error;
  return !HasStorePrefix(value) && fs::exists(beside, error) ? beside.string() : value;
}

}  // namespace

bool HasStorePrefix(std::string_view name) {
  constexpr std::array<std::string_view, 3> kPrefixes = {"hf:", "ollama:", "lmstudio:"};
  return std::ranges::any_of(kPrefixes,
                             [&](std::string_view prefix) { return name.starts_with(prefix); });
}

Result<> CheckAliases(const Settings& settings) {
  for (const Setting& setting : settings.all()) {
    if (IsAlias(setting) && (setting.values.size() != 1 || setting.values.front().empty())) {
      return Fail(ErrorKind::kUsage, "{}: the model {} needs one path or name",
                  settings.Place(setting), setting.key);
    }
  }
  return {};
}

void AddModelsDirOption(CommandLine& line, std::vector<fs::path>& folders) {
  line.Repeated("--models-dir", "DIR", "a folder whose models have names for -m",
                [&folders](const std::string& value) -> Result<> {
                  if (value.empty()) {
                    return Fail(ErrorKind::kUsage, "the path is empty");
                  }
                  folders.emplace_back(value);
                  return {};
                });
}

formats::store::Places PlacesOf(const CommandContext& context,
                                const std::vector<fs::path>& folders) {
  formats::store::Places places = context.places.value_or(formats::store::Places());
  places.folders.insert(places.folders.end(), folders.begin(), folders.end());
  if (const Settings* settings = context.sources.settings) {
    for (const Setting& setting : settings->all()) {
      if (IsAlias(setting) && setting.values.size() == 1) {
        places.aliases[setting.key] = Target(setting.values.front(), settings->path());
      }
    }
  }
  return places;
}

Result<fs::path> FindModel(std::string_view name, const std::vector<fs::path>& folders,
                           const CommandContext& context) {
  if (!context.places) {
    return fs::path(name);
  }
  return formats::store::FindModel(name, PlacesOf(context, folders));
}

Result<> FindModel(EngineFlags& flags, const CommandContext& context) {
  if (!flags.engine.model) {
    return {};
  }
  flags.model_name = flags.engine.model->filename().string();
  auto found = FindModel(flags.engine.model->string(), flags.models_dirs, context);
  if (!found) {
    return Forward(found);
  }
  flags.engine.model = std::move(*found);
  return {};
}

Result<> FindModel(std::optional<std::string>& model, const std::vector<fs::path>& folders,
                   const CommandContext& context) {
  if (!model || model->empty()) {
    return {};
  }
  auto found = FindModel(*model, folders, context);
  if (!found) {
    return Forward(found);
  }
  model = found->string();
  return {};
}

}  // namespace plimsoll::cli
