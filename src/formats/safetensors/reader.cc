#include "formats/safetensors/reader.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/bytes.h"
#include "formats/escape.h"
#include "formats/json_document.h"
#include "formats/safetensors/chat_template.h"
#include "formats/safetensors/config.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/stacks.h"

namespace plimsoll::formats::safetensors {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = 32 * kMiB;
constexpr size_t kMaxShards = 1024;  // each keeps a file open

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.size() <= 255 &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// The index and the shards must say the same of every tensor.
Result<> CheckMapped(const WeightMap& weight_map, const RawTensor& tensor,
                     const std::string& file_name) {
  const auto mapped = weight_map.find(tensor.name);
  if (mapped == weight_map.end() || mapped->second != file_name) {
    return Fail(ErrorKind::kBadModel,
                "{}: tensor '{}' is not what {} says of this file; parts of different models may "
                "be mixed",
                file_name, Escape(tensor.name), kIndexName);
  }
  return {};
}

Result<> CheckAllFound(const WeightMap& weight_map, const std::set<std::string>& found) {
  for (const auto& [tensor, file_name] : weight_map) {
    if (!found.contains(tensor) && !tensor.ends_with(".rotary_emb.inv_freq")) {
      return Fail(ErrorKind::kBadModel, "{}: tensor '{}' is not in {}", kIndexName, Escape(tensor),
                  Escape(file_name));
    }
  }
  return {};
}

Result<> Collect(const Sources& sources, bool skip_output, TensorCollector& collector) {
  std::set<std::string> found;
  uint64_t n_tensors = 0;
  for (uint32_t i = 0; i < sources.shards.size(); ++i) {
    const io::File& shard = *sources.shards[i];
    auto tensors = ReadHeader(shard);
    if (!tensors) {
      return Forward(tensors);
    }
    n_tensors += tensors->size();
    if (n_tensors > kMaxTensors) {
      return Fail(ErrorKind::kBadModel, "{}: with this file the model has more than {} tensors",
                  shard.name(), kMaxTensors);
    }
    for (const RawTensor& tensor : *tensors) {
      auto mapped = sources.weight_map.empty()
                        ? Result<>()
                        : CheckMapped(sources.weight_map, tensor, shard.name());
      if (!mapped) {
        return mapped;
      }
      found.insert(tensor.name);
      if (skip_output && tensor.name.ends_with("lm_head.weight")) {
        continue;
      }
      auto added = collector.Add(tensor, i, shard.name());
      if (!added) {
        return added;
      }
    }
  }
  return CheckAllFound(sources.weight_map, found);
}

// The path of the folder's file when it is there.
void SetPath(const fs::path& folder, std::string_view file_name, std::string key,
             Metadata& metadata) {
  const fs::path path = folder / file_name;
  std::error_code error;
  if (fs::exists(path, error)) {
    metadata.SetString(std::move(key), path.string());
  }
}

// Its last name, also of "folder/" and ".".
std::string NameOf(const fs::path& folder) {
  std::error_code error;
  fs::path whole = fs::absolute(folder, error).lexically_normal();
  if (!whole.has_filename()) {
    whole = whole.parent_path();
  }
  return whole.filename().string();
}

// The shards that the index names, each once, in the order of their names.
Result<std::vector<std::string>> ShardNames(const WeightMap& weight_map) {
  std::set<std::string> names;
  for (const auto& [tensor, file_name] : weight_map) {
    names.insert(file_name);
  }
  if (names.size() > kMaxShards) {
    return Fail(ErrorKind::kBadModel, "{}: {} files are more than the {} that are allowed",
                kIndexName, names.size(), kMaxShards);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

// Fills in the shards: the one file named, or the index's, or model.safetensors.
Result<> FindShards(const fs::path& folder, const std::string& only_file, Sources& sources) {
  std::vector<std::string> names = {only_file.empty() ? std::string(kSingleName) : only_file};
  std::error_code error;
  if (fs::exists(folder / kIndexName, error)) {
    auto index = io::File::Open(folder / kIndexName);
    if (!index) {
      return Forward(index);
    }
    auto weight_map = ReadIndex(**index);
    if (!weight_map) {
      return Forward(weight_map);
    }
    auto shard_names = ShardNames(*weight_map);
    if (!shard_names) {
      return Forward(shard_names);
    }
    // A file beside the index that it does not name is a model of its own.
    if (only_file.empty() || std::ranges::find(*shard_names, only_file) != shard_names->end()) {
      names = *std::move(shard_names);
      sources.weight_map = *std::move(weight_map);
    }
  }
  for (const std::string& name : names) {
    auto shard = io::File::Open(folder / name);
    if (!shard) {
      return Forward(shard);
    }
    sources.shards.push_back(*std::move(shard));
  }
  return {};
}

}  // namespace

Result<WeightMap> ReadIndex(const io::File& file) {
  auto document = JsonDocument::Parse(file, kMaxIndexBytes);
  if (!document) {
    return Forward(document);
  }
  auto map = document->root().Object("weight_map");
  if (!map) {
    return Forward(map);
  }
  if (!*map) {
    return document->root().Bad("weight_map", "it is missing");
  }
  WeightMap weight_map;
  for (const auto [tensor, value] : (*map)->raw()) {
    std::string_view file_name;
    if (value.get_string().get(file_name) != simdjson::SUCCESS || !IsPlainName(file_name)) {
      return (*map)->Bad(tensor, "expected the plain name of a file in the same folder");
    }
    if (!weight_map.emplace(tensor, file_name).second) {
      return (*map)->Bad(tensor, "the tensor is there twice");
    }
  }
  if (weight_map.empty()) {
    return document->root().Bad("weight_map", "it names no tensor");
  }
  return weight_map;
}

Result<Catalogue> Read(const Sources& sources) {
  auto config = ReadConfig(*sources.config, sources.model_name);
  if (!config) {
    return Forward(config);
  }
  TensorCollector collector(*config);
  auto collected = Collect(sources, config->output_is_tied, collector);
  if (!collected) {
    return Forward(collected);
  }
  Catalogue catalogue;
  auto finished = collector.Finish(catalogue);
  if (!finished) {
    return Forward(finished);
  }
  if (config->says_untied && catalogue.Find("output.weight") == nullptr) {
    return Fail(ErrorKind::kBadModel,
                "{}: key 'tie_word_embeddings' is false, but no file has lm_head.weight",
                sources.config->name());
  }
  catalogue.metadata = std::move(config->metadata);
  catalogue.files = sources.shards;
  catalogue.is_from_folder = true;
  return catalogue;
}

Result<Catalogue> OpenFolder(const fs::path& folder, const std::string& only_file) {
  Sources sources;
  sources.model_name = NameOf(folder);
  auto config = io::File::Open(folder / kConfigName);
  if (!config) {
    return Forward(config);
  }
  sources.config = *std::move(config);
  auto found = FindShards(folder, only_file, sources);
  if (!found) {
    return Forward(found);
  }
  auto catalogue = Read(sources);
  if (!catalogue) {
    return catalogue;
  }
  SetPath(folder, "tokenizer.json", "plimsoll.tokenizer_json", catalogue->metadata);
  SetPath(folder, "tokenizer_config.json", "plimsoll.tokenizer_config", catalogue->metadata);
  auto chat_template = ReadChatTemplate(folder, catalogue->metadata);
  if (!chat_template) {
    return Forward(chat_template);
  }
  return catalogue;
}

bool IsModelFolder(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / kConfigName, error) &&
         (fs::exists(folder / kIndexName, error) || fs::exists(folder / kSingleName, error));
}

}  // namespace plimsoll::formats::safetensors
