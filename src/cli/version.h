// plimsoll --version.
#pragma once

#include <string>

namespace plimsoll::cli {

// Version, compiler, the bundled model, and the kernel sets: which are compiled in, which of them
// this CPU supports, and which one is chosen (PLIMSOLL_KERNELS forces one).
[[nodiscard]] std::string DescribeVersion();

}  // namespace plimsoll::cli
