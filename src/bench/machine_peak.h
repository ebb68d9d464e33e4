// What this machine can do at best with a number of threads, measured in the same run as what is
// compared with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "kernels/kernels.h"

namespace plimsoll::bench {

// Of all threads together, a second; the best of many short rounds (well under 10 ms), for a peak
// is what was possible while nothing disturbed it.
struct MachinePeak {
  double read_bytes = 0;  // from memory, with the widest loads of the kernel set
  double int8_dots = 0;   // multiply-adds of 8-bit integers, as the quantized kernels make them
  double fmas = 0;        // multiply-adds of floats
};

// How much memory the measurement reads: far more than the caches hold, 256 MiB or four times the
// last-level cache, at most 1 GiB; no more than `line_bytes`, unless that is less than 64 MiB.
[[nodiscard]] uint64_t PeakBufferBytes(uint64_t line_bytes);

// Takes less than a second, and `buffer_bytes` of memory meanwhile. kDoesNotFit when the system
// has not that much.
[[nodiscard]] Result<MachinePeak> MeasurePeak(const kernels::KernelSet& kernels, size_t n_threads,
                                              uint64_t buffer_bytes);

// Measures what was not measured within 30 days on this machine with these kernels and threads, and
// remembers it (io/measurement_cache.h). `anew`: whatever is remembered.
[[nodiscard]] Result<MachinePeak> CachedPeak(const kernels::KernelSet& kernels, size_t n_threads,
                                             uint64_t buffer_bytes, bool anew = false);

// What CachedPeak would give without measuring.
[[nodiscard]] std::optional<MachinePeak> KnownPeak(const kernels::KernelSet& kernels,
                                                   size_t n_threads);

// MachinePeak::read_bytes for memory that is there already, at least PeakBufferBytes(0) of it: on
// machines with several memory nodes it depends on where the pages are.
[[nodiscard]] double MeasureReadRate(const kernels::KernelSet& kernels, size_t n_threads,
                                     std::span<const std::byte> memory);

}  // namespace plimsoll::bench
