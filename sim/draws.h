// Random choices of a simulation: each depends on the seed, a stream and its place in it alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rng.h"

namespace plimsoll::sim {

class Draws {
 public:
  // Streams are independent: one more draw in one changes nothing in another.
  Draws(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  // In [0, 1).
  [[nodiscard]] double Uniform() { return UniformAt(seed_, position_++, stream_); }
  [[nodiscard]] bool Chance(double share) { return Uniform() < share; }
  // In [least, most].
  [[nodiscard]] uint64_t Between(uint64_t least, uint64_t most) {
    return least + static_cast<uint64_t>(Uniform() * static_cast<double>(most - least + 1));
  }
  [[nodiscard]] uint32_t Count(uint32_t least, uint32_t most) {
    return static_cast<uint32_t>(Between(least, most));
  }
  [[nodiscard]] size_t Index(size_t n) { return static_cast<size_t>(Between(0, n - 1)); }

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t position_ = 0;
};

}  // namespace plimsoll::sim
