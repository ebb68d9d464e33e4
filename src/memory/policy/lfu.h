// Least frequently used, with counts that halve every so many passes: what the literature's best
// fixed policies for expert caches come down to.
#pragma once

#include "memory/policy/policy.h"
#include "memory/policy/quota.h"

namespace plimsoll::memory::policy {

class DecayedLfu final : public Policy {
 public:
  // `half_life` in passes, above 0; infinity: plain LFU.
  DecayedLfu(const PageLayout& layout, Scope scope, double half_life);

  void Visit(const LayerVisit& visit) override;
  void Admit(PageId page) override { shares_.Admit(page); }
  void Evict(PageId page) override { shares_.Evict(page); }
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override;
  void SetCapacity(uint32_t n_slots) override { shares_.SetCapacity(n_slots); }

 private:
  void AdvanceTo(uint64_t step);

  const PageLayout& layout_;
  const Scope scope_;
  const double growth_;  // of the unit of counts, a pass
  LayerShares shares_;
  std::vector<double> counts_;  // [n_pages], in units of the first pass
  double unit_ = 1;             // what a use counts now, in those units
  uint64_t step_ = 0;
};

}  // namespace plimsoll::memory::policy
