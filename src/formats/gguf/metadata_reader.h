// The key-value section of a GGUF file.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "formats/gguf/cursor.h"
#include "formats/metadata.h"

namespace plimsoll::formats::gguf {

// Reads `n_keys` keys and values from the cursor. kBadModel for a key that is empty, no UTF-8 or
// there twice, for an unknown value type, an array of arrays, a general.alignment that is no power
// of two, and anything beyond limits.h.
[[nodiscard]] Result<Metadata> ReadMetadata(Cursor& cursor, uint64_t n_keys);

// general.alignment or its default, of metadata that ReadMetadata accepted.
[[nodiscard]] uint32_t Alignment(const Metadata& metadata);

}  // namespace plimsoll::formats::gguf
