// Runs a policy over a trace with a number of slots and counts what it misses. No model, no disk.
#pragma once

#include <cstdint>

#include "memory/policy/policy.h"
#include "memory/replay/reference_stream.h"

namespace plimsoll::memory::replay {

struct PhaseCounts {
  uint64_t references = 0;
  uint64_t misses = 0;

  [[nodiscard]] double hit_rate() const {
    return references == 0 ? 0 : 1 - static_cast<double>(misses) / static_cast<double>(references);
  }
};

struct ReplayCounts {
  PhaseCounts decode;
  PhaseCounts prefill;
};

// The pager's order of work: in decode all pages of a layer are needed together and pinned until it
// is done (if there are slots for them); in prefill the resident ones are used first and then each
// missing one, so only the page that is being read is pinned. `n_slots` is at least 1.
[[nodiscard]] ReplayCounts Replay(const ReferenceStream& stream, policy::Policy& policy,
                                  uint32_t n_slots);

}  // namespace plimsoll::memory::replay
