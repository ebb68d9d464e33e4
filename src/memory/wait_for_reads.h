// The one way in which pagers wait for the disk.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>

#include "base/result.h"
#include "io/reader.h"

namespace plimsoll::memory {

// Waits until at least one read ends and adds the time to `waited`; the number of completions. kIo
// when nothing at all ends within `bound`; the reader reports what is overdue long before.
[[nodiscard]] Result<size_t> WaitForReads(io::Reader& reader,
                                          std::span<io::ReadCompletion> completions,
                                          std::chrono::nanoseconds bound,
                                          std::chrono::nanoseconds& waited);

}  // namespace plimsoll::memory
