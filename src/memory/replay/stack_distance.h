// Mattson's stack: from one pass over a trace, what LRU would miss with any number of slots.
//
// Source: Mattson, Gecsei, Slutz, Traiger, "Evaluation techniques for storage hierarchies", IBM
// Systems Journal 9(2), 1970.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/policy/quota.h"
#include "memory/replay/reference_stream.h"

namespace plimsoll::memory::replay {

struct MissCurve {
  // n_hits[d]: references that hit with d + 1 slots and not with d. In Scope::kPerLayer slots are
  // counted in each layer.
  std::vector<uint64_t> n_hits;
  uint64_t n_references = 0;

  [[nodiscard]] uint64_t misses(uint32_t n_slots) const;
};

// A visit's pages are used together: a page's distance is that of the visit's begin. Counts the
// visits of decoding; those of prefill move pages and are not counted. In one pass, n log n.
[[nodiscard]] MissCurve LruMissCurve(const ReferenceStream& stream, policy::Scope scope);

}  // namespace plimsoll::memory::replay
