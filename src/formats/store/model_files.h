// What of a folder's files belongs together as a model, told by names and sizes alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace plimsoll::formats::store {

// How many entries of one folder are looked at, at most.
inline constexpr size_t kEntriesMax = 100'000;

// The names in a folder in ascending order, those that begin with a dot left out; nothing when it
// cannot be listed.
[[nodiscard]] std::vector<std::string> NamesIn(const std::filesystem::path& folder);

// Its size when `path`, all links followed, is a regular file that may be read, and lies in one of
// `roots` (resolved folders; none: anywhere). Else what is wrong: "its link leads to nothing".
[[nodiscard]] tl::expected<uint64_t, std::string> ProbeFile(
    const std::filesystem::path& path, std::span<const std::filesystem::path> roots);

// The quantization that a file's name tells: "Qwen3-8B-UD-Q4_K_XL.gguf": "UD-Q4_K_XL"; "" when it
// tells none.
[[nodiscard]] std::string QuantInName(std::string_view file_name);

struct ModelFiles {
  std::filesystem::path path;  // of the first file, or of the folder
  std::string stem;            // the file's name without part and extension; the folder's name
  std::string type;
  uint64_t bytes = 0;
  std::string problem;
};

// The language models in GGUF directly in `folder`, one for each split, in order of their names.
// Files for pictures (mmproj) and importance matrices are none.
[[nodiscard]] std::vector<ModelFiles> GgufModelsIn(const std::filesystem::path& folder,
                                                   std::span<const std::filesystem::path> roots);

// Whether a file of a folder with or without an index has the folder's model's weights.
[[nodiscard]] bool IsWeightsFile(std::string_view name, bool has_index);

// The model that `folder` is, when it holds model.safetensors or an index of such files. That
// config.json is not beside them is a problem of it.
[[nodiscard]] std::optional<ModelFiles> SafetensorsModelIn(
    const std::filesystem::path& folder, std::span<const std::filesystem::path> roots);

}  // namespace plimsoll::formats::store
