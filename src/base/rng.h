// Counter-based random numbers: the value depends on (seed, position) alone, never on how many
// numbers were drawn before, so batching and restarts cannot change a sampled token.
//
// Philox4x32-10, from Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011.
#pragma once

#include <array>
#include <cstdint>

namespace plimsoll {

[[nodiscard]] std::array<uint32_t, 4> Philox(uint64_t key, uint64_t counter_low,
                                             uint64_t counter_high);

// Uniform in [0, 1) with 53 random bits.
[[nodiscard]] double UniformAt(uint64_t seed, uint64_t position, uint64_t stream = 0);

}  // namespace plimsoll
