// Whether a disk has room, asked before a long job rather than found at its end.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace plimsoll::io {

// kIo with both sizes when the folder of `path` has less than `bytes` free. A file system that does
// not say is taken to have them.
[[nodiscard]] Result<> CheckFreeSpace(const std::filesystem::path& path, uint64_t bytes);

}  // namespace plimsoll::io
