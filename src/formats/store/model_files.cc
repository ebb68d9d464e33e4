#include "formats/store/model_files.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <map>
#include <system_error>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "formats/gguf/limits.h"
#include "formats/gguf/split.h"
#include "formats/json_document.h"
#include "formats/safetensors/reader.h"

namespace plimsoll::formats::store {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kConfigBytesMax = 1 << 20;
constexpr std::string_view kGguf = ".gguf";
constexpr std::string_view kSafetensors = ".safetensors";

bool LiesIn(const fs::path& path, const fs::path& root) {
  const auto [end, unused] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return end == root.end();
}

char Upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

std::string Upper(std::string_view text) {
  std::string upper(text);
  std::ranges::transform(upper, upper.begin(), [](char c) { return Upper(c); });
  return upper;
}

// "Q4_K_M", "IQ2_XXS", "TQ1_0", "F16", "BF16", "MXFP4".
bool IsQuant(std::string_view upper) {
  for (const std::string_view exact : {"F16", "BF16", "F32", "FP16", "FP32"}) {
    if (upper == exact) {
      return true;
    }
  }
  for (const std::string_view prefix : {"MXFP", "NVFP", "IQ", "TQ", "Q"}) {
    if (upper.starts_with(prefix)) {
      return upper.size() > prefix.size() &&
             std::isdigit(static_cast<unsigned char>(upper[prefix.size()])) != 0;
    }
  }
  return false;
}

// Not a language model, though of its format.
bool IsAccessory(std::string_view file_name) {
  const std::string upper = Upper(file_name);
  return upper.find("MMPROJ") != std::string::npos || upper.find("IMATRIX") != std::string::npos;
}

std::string_view WithoutExtension(std::string_view file_name, std::string_view extension) {
  return file_name.substr(0, file_name.size() - extension.size());
}

// Adds a file to its model; the first thing that is wrong with one of them is the model's problem.
void AddFile(ModelFiles& model, const fs::path& path, std::span<const fs::path> roots) {
  const auto size = ProbeFile(path, roots);
  if (size) {
    model.bytes = CheckedAdd(model.bytes, *size).value_or(UINT64_MAX);
  } else if (model.problem.empty()) {
    model.problem = fmt::format("{}: {}", path.filename().string(), size.error());
  }
}

ModelFiles OneFile(const fs::path& path, std::string_view name, std::span<const fs::path> roots) {
  ModelFiles model = {.path = path,
                      .stem = std::string(WithoutExtension(name, kGguf)),
                      .type = QuantInName(name),
                      .bytes = 0,
                      .problem = {}};
  AddFile(model, path, roots);
  return model;
}

ModelFiles Split(const fs::path& folder, const gguf::SplitName& split,
                 std::span<const fs::path> roots) {
  ModelFiles model = {.path = folder / split.FileName(1),
                      .stem = split.stem,
                      .type = QuantInName(split.stem),
                      .bytes = 0,
                      .problem = {}};
  if (split.count > gguf::kMaxParts) {
    model.problem = fmt::format("a split into {} files", split.count);
    return model;
  }
  for (uint32_t part = 1; part <= split.count; ++part) {
    AddFile(model, folder / split.FileName(part), roots);
  }
  return model;
}

// "model-00002-of-00003.safetensors": the names of all its parts; one of another pattern is alone.
std::vector<std::string> PartsOf(const std::string& name) {
  const std::string stem(WithoutExtension(name, kSafetensors));
  const auto split = gguf::ParseSplitName(stem + std::string(kGguf));
  if (!split || split->count > gguf::kMaxParts) {
    return {name};
  }
  std::vector<std::string> parts;
  for (uint32_t part = 1; part <= split->count; ++part) {
    parts.push_back(std::string(WithoutExtension(split->FileName(part), kGguf)) +
                    std::string(kSafetensors));
  }
  return parts;
}

// The type that a config names, in GGUF's words: "bfloat16": "BF16".
std::string TypeInConfig(const fs::path& config, std::span<const fs::path> roots) {
  if (!ProbeFile(config, roots)) {
    return {};
  }
  const auto file = io::File::Open(config);
  if (!file) {
    return {};
  }
  const auto document = JsonDocument::Parse(**file, kConfigBytesMax);
  if (!document) {
    return {};
  }
  for (const std::string_view key : {"torch_dtype", "dtype"}) {
    const auto type = document->root().String(key);
    if (type && *type) {
      const std::string& name = **type;
      return name == "bfloat16"  ? "BF16"
             : name == "float16" ? "F16"
             : name == "float32" ? "F32"
                                 : "";
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.starts_with('.')) {
      names.push_back(std::move(name));
    }
    if (names.size() == kEntriesMax) {
      break;
    }
  }
  std::ranges::sort(names);
  return names;
}

tl::expected<uint64_t, std::string> ProbeFile(const fs::path& path,
                                              std::span<const fs::path> roots) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    std::error_code error;
    const bool is_link = fs::is_symlink(path, error);
    return tl::unexpected<std::string>(errno == EACCES ? "permission denied"
                                       : is_link       ? "its link leads to nothing"
                                                       : "it is not there");
  }
  if (!S_ISREG(status.st_mode)) {
    return tl::unexpected<std::string>("no regular file");
  }
  if (!roots.empty()) {
    std::error_code error;
    const fs::path resolved = fs::canonical(path, error);
    if (error ||
        std::ranges::none_of(roots, [&](const fs::path& root) { return LiesIn(resolved, root); })) {
      return tl::unexpected<std::string>("its link leads out of the store");
    }
  }
  if (::access(path.c_str(), R_OK) != 0) {
    return tl::unexpected<std::string>("permission denied");
  }
  return static_cast<uint64_t>(status.st_size);
}

std::string QuantInName(std::string_view file_name) {
  if (file_name.ends_with(kGguf)) {
    file_name = WithoutExtension(file_name, kGguf);
  }
  std::string found;
  std::string before;
  while (!file_name.empty()) {
    const size_t end = std::min(file_name.find_first_of("-."), file_name.size());
    std::string word = Upper(file_name.substr(0, end));
    if (IsQuant(word)) {
      found = before == "UD" ? "UD-" + word : word;
    }
    before = std::move(word);
    file_name.remove_prefix(std::min(end + 1, file_name.size()));
  }
  return found;
}

std::vector<ModelFiles> GgufModelsIn(const fs::path& folder, std::span<const fs::path> roots) {
  std::map<std::string, ModelFiles> models;  // by the name of their first file
  for (const std::string& name : NamesIn(folder)) {
    if (!name.ends_with(kGguf) || IsAccessory(name)) {
      continue;
    }
    const auto split = gguf::ParseSplitName(name);
    const std::string first = split ? split->FileName(1) : name;
    if (!models.contains(first)) {
      models.emplace(first,
                     split ? Split(folder, *split, roots) : OneFile(folder / name, name, roots));
    }
  }
  std::vector<ModelFiles> in_order;
  for (auto& [first, model] : models) {
    in_order.push_back(std::move(model));
  }
  return in_order;
}

bool IsWeightsFile(std::string_view name, bool has_index) {
  return has_index ? name.starts_with("model") && name.ends_with(kSafetensors) &&
                         name != safetensors::kSingleName
                   : name == safetensors::kSingleName;
}

std::optional<ModelFiles> SafetensorsModelIn(const fs::path& folder,
                                             std::span<const fs::path> roots) {
  const std::vector<std::string> names = NamesIn(folder);
  const bool has_index = std::ranges::binary_search(names, safetensors::kIndexName);
  std::vector<std::string> weights;
  for (const std::string& name : names) {
    if (IsWeightsFile(name, has_index)) {
      std::ranges::copy(PartsOf(name), std::back_inserter(weights));
    }
  }
  if (weights.empty() && !has_index) {
    return std::nullopt;
  }
  std::ranges::sort(weights);
  weights.erase(std::unique(weights.begin(), weights.end()), weights.end());
  ModelFiles model = {.path = folder,
                      .stem = folder.filename().string(),
                      .type = TypeInConfig(folder / safetensors::kConfigName, roots),
                      .bytes = 0,
                      .problem = weights.empty() ? "its weights are not there" : ""};
  for (const std::string& name : weights) {
    AddFile(model, folder / name, roots);
  }
  const auto config = ProbeFile(folder / safetensors::kConfigName, roots);
  if (!config) {
    model.problem = fmt::format("{}: {}", safetensors::kConfigName, config.error());
  }
  return model;
}

}  // namespace plimsoll::formats::store
