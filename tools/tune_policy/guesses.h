// How good look-ahead by pairs of experts would have been on a trace.
#pragma once

#include <cstdint>

#include "memory/replay/reference_stream.h"

namespace plimsoll::tune_policy {

// In decode, of guesses at pages that were missing.
struct GuessCounts {
  uint64_t missing = 0;        // references that found their page missing
  uint64_t guesses = 0;        // as many a layer as it chooses, less those that were there
  uint64_t guesses_right = 0;  // of these, used by the layer
  uint64_t worth = 0;          // of the guesses, those that the gate would read
  uint64_t worth_right = 0;
};

// With the default policy; what is guessed is counted and not read.
[[nodiscard]] GuessCounts GuessByPairs(const memory::replay::ReferenceStream& stream,
                                       uint32_t n_slots);

}  // namespace plimsoll::tune_policy
