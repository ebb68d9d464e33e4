// The tensor section of a GGUF file: names, types, shapes and where the bytes lie.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/gguf/cursor.h"

namespace plimsoll::formats::gguf {

// Reads `n_tensors` declarations, after which the data section begins at the next multiple of
// `alignment` (a power of two). Every entry has one range, with `file_idx` and an offset from the
// start of the file; the ranges are whole rows, aligned, inside `file_bytes` and do not overlap,
// and no name is there twice.
[[nodiscard]] Result<std::vector<TensorEntry>> ReadTensorTable(Cursor& cursor, uint64_t n_tensors,
                                                               uint32_t alignment,
                                                               uint64_t file_bytes,
                                                               uint32_t file_idx);

}  // namespace plimsoll::formats::gguf
