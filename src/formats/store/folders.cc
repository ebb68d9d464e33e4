#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "formats/store/model_files.h"
#include "formats/store/scan.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;

std::vector<ModelFiles> ModelsIn(const fs::path& folder) {
  std::vector<ModelFiles> models = GgufModelsIn(folder, {});
  if (auto safetensors = SafetensorsModelIn(folder, {})) {
    models.push_back(std::move(*safetensors));
  }
  return models;
}

FoundModel Found(Source source, ModelFiles files, std::string name) {
  FoundModel model;
  model.source = source;
  model.path = std::move(files.path);
  model.bytes = files.bytes;
  model.type = std::move(files.type);
  model.problem = std::move(files.problem);
  model.names = {name};
  if (model.path.extension() == ".gguf") {
    model.loose_names = {files.stem, model.path.filename().string()};
  }
  model.name = std::move(name);
  return model;
}

// The models of one folder, which is called `name`: just so when it holds one.
std::vector<FoundModel> NamedModelsIn(Source source, const fs::path& folder,
                                      const std::string& name) {
  std::vector<FoundModel> found;
  std::vector<ModelFiles> models = ModelsIn(folder);
  for (ModelFiles& files : models) {
    const std::string with_stem = name + "/" + files.stem;
    const bool is_gguf = files.path != folder;
    const bool alone = models.size() == 1 || !is_gguf;
    FoundModel& model =
        found.emplace_back(Found(source, std::move(files), alone ? name : with_stem));
    if (is_gguf) {
      model.names.push_back(with_stem);
      model.names.push_back(name + "/" + model.path.filename().string());
      model.loose_names.push_back(name);
    }
  }
  return found;
}

}  // namespace

std::string_view SourceName(Source source) {
  switch (source) {
    case Source::kFolder:
      return "folder";
    case Source::kHuggingFace:
      return "huggingface";
    case Source::kOllama:
      return "ollama";
    case Source::kLmStudio:
      return "lmstudio";
  }
  return "";
}

SearchedPlace LookAt(Source source, const fs::path& path) {
  SearchedPlace place = {.source = source, .path = path, .reason = {}};
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    place.state = SearchedPlace::State::kMissing;
  } else if (status.type() != fs::file_type::directory) {
    place.state = SearchedPlace::State::kUnreadable;
    place.reason = error ? error.message() : "it is no folder";
  } else if (::access(path.c_str(), R_OK | X_OK) != 0) {
    place.state = SearchedPlace::State::kUnreadable;
    place.reason = std::strerror(errno);
  }
  return place;
}

void ScanLmStudio(const fs::path& store, Findings& findings) {
  SearchedPlace place = LookAt(Source::kLmStudio, store);
  if (place.state == SearchedPlace::State::kSearched) {
    for (const std::string& publisher : NamesIn(store)) {
      for (const std::string& name : NamesIn(store / publisher)) {
        for (FoundModel& model :
             NamedModelsIn(Source::kLmStudio, store / publisher / name, publisher + "/" + name)) {
          model.name = "lmstudio:" + model.name;
          model.loose_names.push_back(name);
          findings.models.push_back(std::move(model));
          ++place.n_models;
        }
      }
    }
  }
  findings.places.push_back(std::move(place));
}

void ScanFolder(const fs::path& folder, Findings& findings) {
  SearchedPlace place = LookAt(Source::kFolder, folder);
  if (place.state == SearchedPlace::State::kSearched) {
    const size_t n_before = findings.models.size();
    for (ModelFiles& files : GgufModelsIn(folder, {})) {
      std::string stem = files.stem;
      findings.models.push_back(Found(Source::kFolder, std::move(files), std::move(stem)));
    }
    for (const std::string& name : NamesIn(folder)) {
      std::error_code error;
      if (fs::is_directory(folder / name, error)) {
        std::ranges::move(NamedModelsIn(Source::kFolder, folder / name, name),
                          std::back_inserter(findings.models));
      }
    }
    place.n_models = findings.models.size() - n_before;
  }
  findings.places.push_back(std::move(place));
}

}  // namespace plimsoll::formats::store
