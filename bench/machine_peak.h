// What this machine can do at best on one core, measured in the same run as what is compared with
// it.
#pragma once

#include <cstddef>

namespace plimsoll::bench {

// Reads `bytes`, a multiple of 64 KiB, once with the widest loads there are; the result depends on
// it.
float ReadAll(const std::byte* data, size_t bytes);

// Runs about `n` independent fused multiply-adds a lane in registers; returns how many
// floating-point operations that were (an fma is two).
double RunFmas(size_t n, float* result);

}  // namespace plimsoll::bench
