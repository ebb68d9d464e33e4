// Slots that a policy looks after, without a pager: what it would have missed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::memory::replay {

// Not thread-safe.
class Slots {
 public:
  // `policy`, fresh and for the same n_pages, outlives this. `n_slots` is at least 1.
  Slots(policy::Policy& policy, uint32_t n_pages, uint32_t n_slots);

  // Misses of one visit, whose pages are each listed once. In decode all of them are needed
  // together and pinned until the layer is done (if there are slots for them); in prefill the
  // resident ones are used first and then each missing one.
  uint64_t Serve(const policy::LayerVisit& visit, std::span<const policy::PageId> pages);

 private:
  static bool Has(const std::vector<uint64_t>& set, policy::PageId page) {
    return policy::PageSet(set).Contains(page);
  }
  static void Set(std::vector<uint64_t>& set, policy::PageId page, bool in);
  void Load(policy::PageId page, bool pin);

  policy::Policy& policy_;
  const uint32_t n_slots_;
  uint32_t n_resident_ = 0;
  std::vector<uint64_t> resident_;
  std::vector<uint64_t> candidates_;  // resident and not pinned
  std::vector<policy::PageId> missing_;
};

}  // namespace plimsoll::memory::replay
