// Models that are split into several GGUF files: NAME-00001-of-0000N.gguf.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/metadata.h"

namespace plimsoll::formats::gguf {

struct SplitName {
  std::string stem;   // NAME, without the folder
  uint32_t part = 0;  // counted from 1, as in the name
  uint32_t count = 0;

  [[nodiscard]] std::string FileName(uint32_t of_part) const;
};

// nullopt when the name does not follow the pattern.
[[nodiscard]] std::optional<SplitName> ParseSplitName(std::string_view file_name);

// The paths of all parts of the model that `path` is one file of, in order; just `path` when its
// name does not follow the pattern. kBadModel naming the first part that is not there.
[[nodiscard]] Result<std::vector<std::filesystem::path>> SplitPaths(
    const std::filesystem::path& path);

// What the parts say about the split, each from its own metadata. kBadModel when they are not
// exactly the parts of one model; `n_tensors` is the number found in all of them.
struct PartHeader {
  std::string file_name;
  const Metadata* metadata = nullptr;
};
[[nodiscard]] Result<> CheckSplit(const std::vector<PartHeader>& parts, uint64_t n_tensors);

}  // namespace plimsoll::formats::gguf
