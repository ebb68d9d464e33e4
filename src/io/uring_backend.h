// Reads by the kernel's ring, io_uring(7).
#pragma once

#include <memory>

#include "base/result.h"
#include "io/read_backend.h"

namespace plimsoll::io {

// kFailed says why the system refuses a ring (a kernel before 5.11, a container's seccomp rules,
// sysctl kernel.io_uring_disabled).
[[nodiscard]] Result<std::unique_ptr<ReadBackend>> MakeUringBackend(uint32_t depth, bool direct);

// Whether a ring can be had, by making one.
[[nodiscard]] Result<> ProbeUring();

}  // namespace plimsoll::io
