// Widens a small model to the shape of a large one that says the same. README.md of this folder has
// what is preserved, to what precision, and why.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "formats/catalogue.h"
#include "tensor/dtype.h"
#include "tools/inflate/dimensions.h"

namespace plimsoll::inflate {

struct Target {
  Dimensions dimensions;
  tensor::DType dtype = tensor::DType::kQ8_0;  // of every matrix but the routers
};

struct Progress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

// Writes the wide model of `source`. The bytes depend on `source` and `target` alone. Memory stays
// under a few matrices of the source, whatever the size of the file, which appears under its name
// when it is whole. kUsage when the source cannot be widened to the target, kBadModel when it
// cannot be widened at all or holds what no weight can be, kIo when the disk has no room or fails.
[[nodiscard]] Result<> WriteInflated(const formats::Catalogue& source, const Target& target,
                                     const std::filesystem::path& path,
                                     const std::function<void(const Progress&)>& on_progress);

}  // namespace plimsoll::inflate
