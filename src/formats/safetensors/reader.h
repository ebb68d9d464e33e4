// Hugging Face model folders: safetensors files with config.json, into a catalogue with GGUF's
// names and keys. Hostile like every model file; no tensor data is read.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "io/file.h"

namespace plimsoll::formats::safetensors {

inline constexpr std::string_view kIndexName = "model.safetensors.index.json";
inline constexpr std::string_view kSingleName = "model.safetensors";
inline constexpr std::string_view kConfigName = "config.json";

// Which file each tensor is in, by model.safetensors.index.json. File names are plain names: no
// folders, nothing hidden. kBadModel otherwise.
using WeightMap = std::map<std::string, std::string, std::less<>>;
[[nodiscard]] Result<WeightMap> ReadIndex(const io::File& file);

// What a model's folder holds.
struct Sources {
  std::string model_name;
  std::shared_ptr<const io::File> config;
  std::vector<std::shared_ptr<const io::File>> shards;  // named as in the index
  // The index's; empty for a model in one file. Otherwise exactly the tensors of the shards.
  WeightMap weight_map;
};

// Metadata from the config; tensors renamed, shapes fastest dimension first, the matrices of a
// layer's experts as one tensor with a range for each expert. kBadModel for a tensor of no known
// name, and for experts that are missing or unlike one another.
[[nodiscard]] Result<Catalogue> Read(const Sources& sources);

// The model in `folder`: its index's files, or model.safetensors, or the one file given. Adds what
// the tokenizer needs: plimsoll.tokenizer_json and plimsoll.tokenizer_config are the paths of those
// files, where they exist; tokenizer.chat_template is that of chat_template.jinja or
// tokenizer_config.json.
[[nodiscard]] Result<Catalogue> OpenFolder(const std::filesystem::path& folder,
                                           const std::string& only_file = {});

// True when the folder holds config.json and safetensors files that OpenFolder would open.
[[nodiscard]] bool IsModelFolder(const std::filesystem::path& folder);

}  // namespace plimsoll::formats::safetensors
