// Loops that do one thing as fast as the machine can: what kernels are measured against. Each set
// has those of its own instructions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace plimsoll::kernels {

// All run on the calling thread.
struct PeakLoops {
  // Reads `bytes`, a multiple of kPeakReadBytes, once, from memory that is aligned to 64; the
  // result depends on all of it.
  uint64_t (*read)(const std::byte* data, size_t bytes);
  // About n rounds of independent products of 8-bit integers, in registers, summed to 32 bits as
  // the quantized kernels do; gives how many multiply-adds that were.
  uint64_t (*int8_dots)(size_t n);
  // The same with fused multiply-adds of floats (`ref`: a product and a sum).
  uint64_t (*fmas)(size_t n);
};

inline constexpr size_t kPeakReadBytes = size_t{64} << 10;

[[nodiscard]] const PeakLoops& PeakLoopsOf(const KernelSet& set);

}  // namespace plimsoll::kernels
