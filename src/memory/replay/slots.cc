#include "memory/replay/slots.h"

#include "base/invariant.h"

namespace plimsoll::memory::replay {

using policy::PageId;
using policy::PageSet;

Slots::Slots(policy::Policy& policy, uint32_t n_pages, uint32_t n_slots)
    : policy_(policy),
      n_slots_(n_slots),
      resident_((n_pages + 63) / 64, 0),
      candidates_(resident_.size(), 0) {
  Invariant(n_slots > 0, "a cache has a slot");
  policy_.SetCapacity(n_slots);
}

uint64_t Slots::Serve(const policy::LayerVisit& visit, std::span<const PageId> pages) {
  const bool pin = visit.phase == policy::Phase::kDecode && pages.size() <= n_slots_;
  policy_.Visit(visit);
  missing_.clear();
  for (const PageId page : pages) {
    if (!Has(resident_, page)) {
      missing_.push_back(page);
    } else if (pin) {
      Set(candidates_, page, false);
    }
  }
  for (const PageId page : missing_) {
    Load(page, pin);
  }
  if (pin) {
    for (const PageId page : pages) {
      Set(candidates_, page, true);
    }
  }
  return missing_.size();
}

void Slots::Set(std::vector<uint64_t>& set, PageId page, bool in) {
  const uint64_t bit = uint64_t{1} << (page.value % 64);
  uint64_t& word = set[page.value / 64];
  word = in ? word | bit : word & ~bit;
}

void Slots::Load(PageId page, bool pin) {
  if (n_resident_ == n_slots_) {
    const auto victim = policy_.ChooseVictim(page, PageSet(candidates_));
    Invariant(victim && Has(candidates_, *victim), "a victim is one of the candidates");
    policy_.Evict(*victim);
    Set(resident_, *victim, false);
    Set(candidates_, *victim, false);
    --n_resident_;
  }
  policy_.Admit(page);
  Set(resident_, page, true);
  Set(candidates_, page, !pin);
  ++n_resident_;
}

}  // namespace plimsoll::memory::replay
