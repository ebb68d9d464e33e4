// Where an unaligned range of a file lies in memory when it is read with direct I/O: the blocks
// around it are read as they are, and the data is used where it lands. Nothing is copied.
#pragma once

#include <cstdint>

#include "base/checked.h"

namespace plimsoll::io {

// Direct I/O wants offsets, lengths and addresses in multiples of the device's logical block. This
// is a multiple of those in use (512 and 4096); every backend keeps to it, buffered ones too, so
// that where data lies in a frame depends on the file alone.
inline constexpr uint64_t kIoAlignment = 4096;

struct AlignedRange {
  uint64_t begin = 0;        // absolute offset of the file; a multiple of kIoAlignment
  uint64_t bytes = 0;        // what to read and what the frame needs; a multiple of kIoAlignment
  uint64_t data_offset = 0;  // of the wanted bytes in the frame; below kIoAlignment
};

// `offset` and `bytes` lie within a file, so no sum can wrap.
[[nodiscard]] constexpr AlignedRange AlignRange(uint64_t offset, uint64_t bytes) {
  const uint64_t data_offset = offset % kIoAlignment;
  return {.begin = offset - data_offset,
          .bytes = AlignUp(data_offset + bytes, kIoAlignment),
          .data_offset = data_offset};
}

// What a frame needs for `bytes` that start at any offset that is a multiple of `step` (a power of
// two up to kIoAlignment; tensors of a GGUF start at multiples of 32).
[[nodiscard]] constexpr uint64_t FrameBytesMax(uint64_t bytes, uint64_t step = 1) {
  return AlignUp(kIoAlignment - step + bytes, kIoAlignment);
}

}  // namespace plimsoll::io
