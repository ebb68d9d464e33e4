// Reads by a pool of threads that call pread: where the system refuses io_uring.
#pragma once

#include <memory>

#include "io/read_backend.h"

namespace plimsoll::io {

[[nodiscard]] std::unique_ptr<ReadBackend> MakeThreadBackend(uint32_t depth, uint32_t n_threads,
                                                             bool direct);

}  // namespace plimsoll::io
