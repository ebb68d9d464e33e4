#include "cli/serve_models.h"

#include <algorithm>
#include <chrono>
#include <ostream>
#include <system_error>
#include <utility>

#include <sys/stat.h>

#include "bench/machine_speed.h"
#include "cli/find_model.h"
#include "engine/bundled_model.h"
#include "engine/group_limit.h"
#include "engine/planner.h"
#include "formats/gguf/split.h"
#include "formats/store/find_model.h"
#include "server/engine_loader.h"

namespace plimsoll::cli {
namespace {

namespace fs = std::filesystem;

// "dir/Qwen3-8B-Q4_K_M-00001-of-00002.gguf": "Qwen3-8B-Q4_K_M"; a folder's name.
std::string StemOf(const fs::path& path) {
  if (const auto split = formats::gguf::ParseSplitName(path.filename().string())) {
    return split->stem;
  }
  const fs::path name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return name.extension() == ".gguf" ? name.stem().string() : name.string();
}

bool IsPath(const std::string& name) {
  std::error_code error;
  return !HasStorePrefix(name) && (name.find('/') != std::string::npos || fs::exists(name, error));
}

uint64_t BytesAt(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const auto bytes = fs::file_size(path, error);
    return error ? 0 : bytes;
  }
  uint64_t bytes = 0;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code its_error;
    const auto size = it->file_size(its_error);
    bytes += its_error ? 0 : size;
  }
  return bytes;
}

// Seconds since 1970.
int64_t ModifiedAt(const fs::path& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 ? int64_t{status.st_mtim.tv_sec} : 0;
}

ServedModel Served(const fs::path& path, const std::string& given) {
  ServedModel model = {.path = path};
  const std::string stem = StemOf(path);
  model.source.name = IsPath(given) ? stem : given;
  model.source.others = {given, stem, path.filename().string()};
  model.source.file_bytes = BytesAt(path);
  model.source.created = ModifiedAt(path);
  return model;
}

ServedModel Bundled() {
  ServedModel model;
  model.source.name = engine::BundledModelName();
  model.source.others = {"bundled"};
  if (const auto file = engine::OpenBundledModel()) {
    model.source.file_bytes = (*file)->size();
  }
  model.source.created = ModifiedAt("/proc/self/exe");
  return model;
}

const ServedModel* Called(const std::vector<ServedModel>& models, const std::string& name) {
  const auto at = std::ranges::find(
      models, name,
      [](const ServedModel& model) -> const std::string& { return model.source.name; });
  return at == models.end() ? nullptr : &*at;
}

void AddFolderModels(const EngineFlags& engine, std::vector<ServedModel>& models,
                     std::vector<std::string>& notes) {
  const formats::store::Places places = {.folders = engine.models_dirs};
  for (const formats::store::FoundModel& found : formats::store::ListModels(places).models) {
    ServedModel model = Served(found.path, found.name);
    model.source.name = found.name;
    model.source.file_bytes = found.bytes;
    const bool is_there = std::ranges::any_of(models, [&](const ServedModel& other) {
      std::error_code error;
      return other.path && fs::equivalent(*other.path, found.path, error);
    });
    if (!found.problem.empty()) {
      notes.push_back(fmt::format("{} is not served: {}", found.path.string(), found.problem));
    } else if (!is_there && Called(models, found.name) != nullptr) {
      notes.push_back(fmt::format("{} is not served: another model is called {}",
                                  found.path.string(), found.name));
    } else if (!is_there) {
      models.push_back(std::move(model));
    }
  }
}

// "5m", "90s", "2h", "90", "-1" (for ever): seconds, or nothing for ever.
Result<std::optional<double>> ParseKeepAlive(std::string_view text) {
  double unit = 1;
  if (!text.empty()) {
    const size_t at = std::string_view("smh").find(text.back());
    if (at != std::string_view::npos) {
      unit = at == 0 ? 1 : at == 1 ? 60 : 3600;
      text.remove_suffix(1);
    }
  }
  const auto number = ParseReal(text);
  if (!number || *number > 1e9F) {
    return Fail(ErrorKind::kUsage, "\"{}\" is no time: 90, 5m or 2h, or -1 for ever", text);
  }
  return *number < 0 ? std::nullopt : std::optional(static_cast<double>(*number) * unit);
}

}  // namespace

void AddServeModelOptions(CommandLine& line, ServeModelFlags& flags) {
  line.Topic("Models");
  line.Repeated("-m,--model", "MODEL", "a file, a folder, or a name that list shows; also several",
                [&flags](const std::string& value) -> Result<> {
                  if (value.empty()) {
                    return Fail(ErrorKind::kUsage, "the path is empty");
                  }
                  flags.models.push_back(value);
                  return {};
                });
  line.Option("-a,--alias", "NAME,...", "what clients call the first model",
              [&flags](const std::string& value) -> Result<> {
                flags.aliases = SplitAtCommas(value);
                std::erase(flags.aliases, "");
                return {};
              });
  line.Option("--keep-alive", "TIME", "unload models unused for so long: 90, 5m (default: never)",
              [&flags](const std::string& value) -> Result<> {
                auto seconds = ParseKeepAlive(value);
                if (!seconds) {
                  return Forward(seconds);
                }
                flags.keep_alive_seconds = *seconds;
                return {};
              });
}

Result<std::vector<ServedModel>> FindServedModels(const ServeModelFlags& flags,
                                                  const EngineFlags& engine,
                                                  const CommandContext& context,
                                                  std::vector<std::string>& notes) {
  std::vector<ServedModel> models;
  for (const std::string& given : flags.models) {
    auto path = FindModel(given, engine.models_dirs, context);
    if (!path) {
      return Forward(path);
    }
    ServedModel model = Served(*path, given);
    if (models.empty() && !flags.aliases.empty()) {
      model.source.others.push_back(std::exchange(model.source.name, flags.aliases.front()));
      model.source.others.insert(model.source.others.end(), flags.aliases.begin() + 1,
                                 flags.aliases.end());
    }
    if (Called(models, model.source.name) != nullptr) {
      return Fail(ErrorKind::kUsage,
                  "two models are called {}; give one another name in [models] of config.toml",
                  model.source.name);
    }
    models.push_back(std::move(model));
  }
  AddFolderModels(engine, models, notes);
  if (models.empty()) {
    models.push_back(Bundled());
  }
  return models;
}

constexpr uint64_t kConnectionBytes = 32 * kMiB;

Result<std::unique_ptr<server::ModelSet>> MakeModelSet(std::vector<ServedModel> models,
                                                       const ServeModelFlags& flags,
                                                       const EngineFlags& engine,
                                                       const engine::ServiceOptions& service,
                                                       std::optional<uint64_t> connection_bytes,
                                                       const CommandContext& context) {
  server::EngineLoader::Setup setup = {
      .service = service, .load = context.load, .known_speed = bench::KnownSpeed};
  std::vector<server::ModelSource> sources;
  const auto options_of_all = OptionsToLoad(engine);
  if (!options_of_all) {
    return tl::unexpected(options_of_all.error());
  }
  for (ServedModel& model : models) {
    engine::EngineOptions& options = setup.models.emplace_back(*options_of_all);
    options.model = std::move(model.path);
    setup.names.push_back(model.source.name);
    options.n_parallel = service.n_parallel;
    options.constrained = true;
    options.batches = true;
    options.kv_disk.bytes /= models.size();
    sources.push_back(std::move(model.source));
  }
  auto planner = engine::Planner::Open(setup.models.front());
  if (!planner) {
    return Forward(planner);
  }
  sources.front().others.push_back((*planner)->name());
  const uint64_t line = (*planner)->LineFor(engine.engine.memory);
  // All models together: each alone is below it.
  if (engine.engine.memory) {
    if (auto allowed = engine::CheckGroupAllows(line); !allowed) {
      return Forward(allowed);
    }
  }
  const uint64_t kept_bytes = connection_bytes.value_or(std::min(kConnectionBytes, line / 16));
  if (kept_bytes >= line) {
    return Fail(ErrorKind::kDoesNotFit,
                "connections may take {} (--max-connection-memory) and the line is {}: nothing is "
                "left for a model\nlower the one, or raise --memory",
                FormatBytes(kept_bytes), FormatBytes(line));
  }
  setup.on_note = [log = Log(engine.log_level())](std::string_view note) { log.Debug("{}", note); };
  return std::make_unique<server::ModelSet>(
      std::move(sources), std::make_unique<server::EngineLoader>(std::move(setup)),
      server::ModelSetOptions{.line = line,
                              .kept_bytes = kept_bytes,
                              .keep_alive_seconds = flags.keep_alive_seconds,
                              .max_wait_seconds = static_cast<double>(service.max_queue_seconds),
                              .max_waiting = service.max_queue});
}

}  // namespace plimsoll::cli
