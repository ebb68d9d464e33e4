#include "memory/replay/replay.h"

#include <span>
#include <vector>

#include "base/invariant.h"

namespace plimsoll::memory::replay {
namespace {

using policy::LayerVisit;
using policy::PageId;
using policy::PageSet;
using policy::Phase;

class Slots {
 public:
  Slots(policy::Policy& policy, uint32_t n_pages, uint32_t n_slots)
      : policy_(policy),
        n_slots_(n_slots),
        resident_((n_pages + 63) / 64, 0),
        candidates_(resident_.size(), 0) {
    policy_.SetCapacity(n_slots);
  }

  // Misses of one visit.
  uint64_t Serve(const LayerVisit& visit, std::span<const PageId> pages) {
    const bool pin = visit.phase == Phase::kDecode && pages.size() <= n_slots_;
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

 private:
  static bool Has(const std::vector<uint64_t>& set, PageId page) {
    return PageSet(set).Contains(page);
  }
  static void Set(std::vector<uint64_t>& set, PageId page, bool in) {
    const uint64_t bit = uint64_t{1} << (page.value % 64);
    uint64_t& word = set[page.value / 64];
    word = in ? word | bit : word & ~bit;
  }

  void Load(PageId page, bool pin) {
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

  policy::Policy& policy_;
  const uint32_t n_slots_;
  uint32_t n_resident_ = 0;
  std::vector<uint64_t> resident_;
  std::vector<uint64_t> candidates_;  // resident and not pinned
  std::vector<PageId> missing_;
};

}  // namespace

ReplayCounts Replay(const ReferenceStream& stream, policy::Policy& policy, uint32_t n_slots) {
  Invariant(n_slots > 0, "a cache has a slot");
  Slots slots(policy, stream.layout().n_pages(), n_slots);
  ReplayCounts counts;
  for (size_t i = 0; i < stream.size(); ++i) {
    const LayerVisit visit = stream.visit(i);
    PhaseCounts& phase = visit.phase == Phase::kDecode ? counts.decode : counts.prefill;
    phase.references += stream.pages(i).size();
    phase.misses += slots.Serve(visit, stream.pages(i));
  }
  return counts;
}

}  // namespace plimsoll::memory::replay
