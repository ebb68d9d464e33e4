#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include "base/checked.h"
#include "formats/gguf/split.h"
#include "formats/json_document.h"
#include "formats/safetensors/reader.h"
#include "formats/store/model_files.h"
#include "formats/store/scan.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRepositoryPrefix = "models--";
constexpr size_t kSnapshotsMax = 64;
constexpr int kFolderDepthMax = 2;  // of GGUF files below a snapshot
constexpr uint64_t kTreeBytesMax = 4 << 20;

// What trees/COMMIT.json says that a commit holds: the size of each file by its path.
using Tree = std::map<std::string, uint64_t, std::less<>>;

struct Repository {
  fs::path folder;
  std::string id;               // "Qwen/Qwen3-8B"
  std::vector<fs::path> roots;  // where its files may lie
};

struct RepositoryModel {
  ModelFiles files;
  bool is_gguf = false;
};

bool IsCommit(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) != 0; });
}

// "models--ORG--NAME": "ORG/NAME".
std::string IdOf(std::string_view folder_name) {
  std::string id(folder_name.substr(kRepositoryPrefix.size()));
  for (size_t at = id.find("--"); at != std::string::npos; at = id.find("--", at + 1)) {
    id.replace(at, 2, "/");
  }
  return id;
}

std::optional<std::string> MainCommit(const Repository& repository) {
  const fs::path ref = repository.folder / "refs" / "main";
  if (!ProbeFile(ref, repository.roots)) {
    return std::nullopt;
  }
  auto text = io::ReadWhole(ref, 256);
  if (!text) {
    return std::nullopt;
  }
  while (!text->empty() && std::isspace(static_cast<unsigned char>(text->back())) != 0) {
    text->pop_back();
  }
  return IsCommit(*text) ? std::optional(std::move(*text)) : std::nullopt;
}

// The commits with a snapshot: that of refs/main, then the others, latest first.
std::vector<std::string> CommitsOf(const Repository& repository) {
  const fs::path snapshots = repository.folder / "snapshots";
  const auto main = MainCommit(repository);
  std::vector<std::pair<fs::file_time_type, std::string>> dated;
  for (std::string& name : NamesIn(snapshots)) {
    std::error_code error;
    const bool is_main = main && name == *main;
    const auto time =
        is_main ? fs::file_time_type::max() : fs::last_write_time(snapshots / name, error);
    if (IsCommit(name) && !error && fs::is_directory(snapshots / name, error)) {
      dated.emplace_back(time, std::move(name));
    }
  }
  std::ranges::sort(dated, std::greater());
  std::vector<std::string> commits;
  for (auto& [time, name] : dated) {
    commits.push_back(std::move(name));
  }
  commits.resize(std::min(commits.size(), kSnapshotsMax));
  return commits;
}

Tree ReadTree(const Repository& repository, const std::string& commit) {
  const fs::path path = repository.folder / "trees" / (commit + ".json");
  Tree tree;
  if (!ProbeFile(path, repository.roots)) {
    return tree;
  }
  const auto file = io::File::Open(path);
  if (!file) {
    return tree;
  }
  const auto document = JsonDocument::Parse(**file, kTreeBytesMax);
  if (!document) {
    return tree;
  }
  simdjson::dom::object files;
  if (document->root().raw()["files"].get(files) != simdjson::SUCCESS) {
    return tree;
  }
  for (const auto& [name, entry] : files) {
    uint64_t size = 0;
    if (entry["lfs_size"].get(size) == simdjson::SUCCESS ||
        entry["size"].get(size) == simdjson::SUCCESS) {
      tree.emplace(name, size);
    }
  }
  return tree;
}

// What the commit has of a model's files and the snapshot has not, by the sum of their sizes.
template <class IsItsFn>
void CompareBytes(ModelFiles& model, const Tree& tree, const IsItsFn& is_its) {
  uint64_t bytes = 0;
  for (const auto& [name, size] : tree) {
    if (is_its(name)) {
      bytes = CheckedAdd(bytes, size).value_or(UINT64_MAX);
    }
  }
  if (model.problem.empty() && bytes != 0 && bytes != model.bytes) {
    model.problem = fmt::format("incomplete: {} of its {} bytes are there", model.bytes, bytes);
  }
}

void CompareGguf(ModelFiles& model, const Tree& tree, const fs::path& snapshot) {
  const std::string first = model.path.lexically_relative(snapshot).generic_string();
  CompareBytes(model, tree, [&](const std::string& name) {
    const fs::path path = name;
    const auto split = gguf::ParseSplitName(path.filename().string());
    return (split ? (path.parent_path() / split->FileName(1)).generic_string() : name) == first;
  });
}

void CompareSafetensors(ModelFiles& model, const Tree& tree, const Repository& repository) {
  const bool has_index = tree.contains(safetensors::kIndexName);
  CompareBytes(model, tree,
               [&](const std::string& name) { return IsWeightsFile(name, has_index); });
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    if (model.problem.empty() && tree.contains(name)) {
      if (const auto there = ProbeFile(model.path / name, repository.roots); !there) {
        model.problem = fmt::format("incomplete: {}: {}", name, there.error());
      }
    }
  }
}

void AddGgufModels(const Repository& repository, const fs::path& snapshot, const fs::path& folder,
                   int depth, const Tree& tree, std::vector<RepositoryModel>& models) {
  for (ModelFiles& files : GgufModelsIn(folder, repository.roots)) {
    CompareGguf(files, tree, snapshot);
    models.push_back({std::move(files), true});
  }
  if (depth == kFolderDepthMax) {
    return;
  }
  for (const std::string& name : NamesIn(folder)) {
    std::error_code error;
    if (fs::symlink_status(folder / name, error).type() == fs::file_type::directory) {
      AddGgufModels(repository, snapshot, folder / name, depth + 1, tree, models);
    }
  }
}

// Each of a repository's models, from the best snapshot that has it.
std::vector<RepositoryModel> ModelsOf(const Repository& repository) {
  std::map<std::string, RepositoryModel> best;
  for (const std::string& commit : CommitsOf(repository)) {
    const fs::path snapshot = repository.folder / "snapshots" / commit;
    const Tree tree = ReadTree(repository, commit);
    std::vector<RepositoryModel> models;
    if (auto files = SafetensorsModelIn(snapshot, repository.roots)) {
      CompareSafetensors(*files, tree, repository);
      files->stem.clear();  // the commit
      models.push_back({std::move(*files), false});
    }
    AddGgufModels(repository, snapshot, snapshot, 0, tree, models);
    for (RepositoryModel& model : models) {
      const auto [at, is_new] = best.try_emplace(model.files.stem, model);
      if (!is_new && !at->second.files.problem.empty() && model.files.problem.empty()) {
        at->second = std::move(model);
      }
    }
  }
  std::vector<RepositoryModel> models;
  for (auto& [stem, model] : best) {
    models.push_back(std::move(model));
  }
  return models;
}

void AddRepository(const Repository& repository, std::vector<FoundModel>& found) {
  std::vector<RepositoryModel> models = ModelsOf(repository);
  std::map<std::string, int> of_type;
  for (const RepositoryModel& model : models) {
    of_type[model.files.type] += model.is_gguf ? 1 : 0;
  }
  const std::string short_id = repository.id.substr(repository.id.rfind('/') + 1);
  for (RepositoryModel& model : models) {
    ModelFiles& files = model.files;
    FoundModel& entry = found.emplace_back();
    entry.source = Source::kHuggingFace;
    std::string tag;
    if (model.is_gguf) {
      tag = !files.type.empty() && of_type[files.type] == 1 ? files.type : files.stem;
      entry.names = {repository.id + ":" + tag, repository.id + ":" + files.stem};
      entry.loose_names = {short_id + ":" + tag, files.stem, files.path.filename().string(),
                           repository.id, short_id};
    } else {
      entry.names = {repository.id};
      entry.loose_names = {short_id};
    }
    entry.name = "hf:" + repository.id + (tag.empty() ? "" : ":" + tag);
    entry.path = std::move(files.path);
    entry.bytes = files.bytes;
    entry.type = std::move(files.type);
    entry.problem = std::move(files.problem);
  }
}

}  // namespace

void ScanHuggingFace(const fs::path& hub, Findings& findings) {
  SearchedPlace& place = findings.places.emplace_back(LookAt(Source::kHuggingFace, hub));
  if (place.state != SearchedPlace::State::kSearched) {
    return;
  }
  const size_t n_before = findings.models.size();
  std::error_code error;
  const fs::path root = fs::canonical(hub, error);
  for (const std::string& name : NamesIn(hub)) {
    const fs::path folder = hub / name;
    if (!name.starts_with(kRepositoryPrefix) || !fs::is_directory(folder, error)) {
      continue;
    }
    // A repository that the user has put on another disk is there as a link.
    const fs::path own_root = fs::canonical(folder, error);
    if (!error) {
      AddRepository({.folder = folder, .id = IdOf(name), .roots = {root, own_root}},
                    findings.models);
    }
  }
  place.n_models = findings.models.size() - n_before;
}

}  // namespace plimsoll::formats::store
