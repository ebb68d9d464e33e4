// Random choices that are the same on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/rng.h"

namespace plimsoll::eval {

// Numbers one after another, decided by the seed and the stream alone.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  // 0 to n - 1; n is at least 1.
  [[nodiscard]] uint32_t Below(uint32_t n) {
    return static_cast<uint32_t>(UniformAt(seed_, n_drawn_++, stream_) * n);
  }
  [[nodiscard]] std::string_view Pick(std::span<const std::string_view> words) {
    return words[Below(static_cast<uint32_t>(words.size()))];
  }

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t n_drawn_ = 0;
};

}  // namespace plimsoll::eval
