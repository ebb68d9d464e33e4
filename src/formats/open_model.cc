#include <algorithm>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "formats/catalogue.h"
#include "formats/escape.h"
#include "formats/gguf/reader.h"
#include "formats/gguf/split.h"
#include "formats/packed/packed_file.h"
#include "formats/safetensors/reader.h"

namespace plimsoll::formats {
namespace {

namespace fs = std::filesystem;

Result<Catalogue> OpenSafetensors(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  if (!fs::exists(folder / safetensors::kConfigName, error)) {
    return Fail(ErrorKind::kBadModel,
                "{}: there is no {} beside it, which says what the tensors are; fetch the model's "
                "whole folder",
                path.string(), safetensors::kConfigName);
  }
  return safetensors::OpenFolder(folder, path.filename().string());
}

Result<Catalogue> OpenFile(const fs::path& path) {
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  auto is_gguf = gguf::HasMagic(**file);
  if (!is_gguf) {
    return Forward(is_gguf);
  }
  if (*is_gguf) {
    return gguf::Open(path);
  }
  if (path.extension() == ".safetensors") {
    return OpenSafetensors(path);
  }
  if (packed::HasMagic(**file).value_or(false)) {
    return Fail(ErrorKind::kBadModel,
                "{} is a packed file, which has a model's experts alone; name the model beside it",
                path.string());
  }
  return Fail(
      ErrorKind::kBadModel,
      "{} is no model that Plimsoll can read: it does not start with \"GGUF\", and its name "
      "does not end in .safetensors",
      path.string());
}

// The GGUF models in a folder: for each, a file to open it by. The parts of a split are one model.
Result<std::vector<fs::path>> GgufModels(const fs::path& folder) {
  std::error_code error;
  std::map<std::string, fs::path> by_model;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    if (path.extension() != ".gguf") {
      continue;
    }
    const std::string name = path.filename().string();
    const auto split = gguf::ParseSplitName(name);
    by_model.emplace(split ? split->FileName(1) : name, path);
  }
  if (error) {
    return Fail(ErrorKind::kIo, "cannot list {}: {}", folder.string(), error.message());
  }
  std::vector<fs::path> models;
  for (const auto& [name, path] : by_model) {
    models.push_back(path);
  }
  return models;
}

Result<Catalogue> OpenFolder(const fs::path& folder) {
  auto models = GgufModels(folder);
  if (!models) {
    return Forward(models);
  }
  const bool has_safetensors = safetensors::IsModelFolder(folder);
  const size_t n_models = models->size() + (has_safetensors ? 1 : 0);
  if (n_models == 0) {
    return Fail(ErrorKind::kBadModel,
                "{} holds no model: neither a .gguf file nor {} with {} or {}", folder.string(),
                safetensors::kConfigName, safetensors::kSingleName, safetensors::kIndexName);
  }
  if (n_models > 1) {
    std::string names = has_safetensors ? "\n  model*.safetensors" : "";
    for (const fs::path& model : *models) {
      names += "\n  " + Escape(model.filename().string());
    }
    return Fail(ErrorKind::kBadModel, "{} holds {} models; name one of them:{}", folder.string(),
                n_models, names);
  }
  return has_safetensors ? safetensors::OpenFolder(folder) : gguf::Open(models->front());
}

}  // namespace

Result<Catalogue> OpenModel(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) ? OpenFolder(path) : OpenFile(path);
}

}  // namespace plimsoll::formats
