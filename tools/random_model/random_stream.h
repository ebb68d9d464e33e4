// Random bits for one tensor: the same seed and name always give the same stream, whatever else the
// file contains and on every machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace plimsoll::random_model {

class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view name);

  [[nodiscard]] uint64_t Next();
  // Uniform in [0, n); n is at most 2^32. The bias of n / 2^32 does not matter here.
  [[nodiscard]] uint32_t Below(uint64_t n);
  // Uniform in [0, 1).
  [[nodiscard]] double Uniform();
  // Mean 0, variance 1, at most 3.47 from the mean: the sum of four uniform numbers, so that it
  // takes integer arithmetic and one product, the same everywhere.
  [[nodiscard]] double Normal();
  void Fill(std::span<uint8_t> out);

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
  std::array<uint64_t, 2> buffer_ = {};
  size_t used_ = 2;
};

}  // namespace plimsoll::random_model
