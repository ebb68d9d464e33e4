// The checksums of many stretches of one file, in one pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "io/file_stream.h"

namespace plimsoll::formats::packed {

struct ByteSpan {
  uint64_t offset = 0;  // of the file
  uint64_t bytes = 0;   // at least 1
};

// Calls `on_checksum(i, XXH3-64 of spans[i])` for one span after another; they ascend and do not
// overlap. `on_bytes` hears of every few megabytes, and ends the pass with its error.
[[nodiscard]] Result<> ChecksumSpans(io::FileStream& stream, io::ReadFileId file,
                                     std::span<const ByteSpan> spans,
                                     const std::function<void(size_t, uint64_t)>& on_checksum,
                                     const std::function<Result<>(uint64_t bytes)>& on_bytes);

}  // namespace plimsoll::formats::packed
