// Least recently used: the baseline that operating systems approximate. With Scope::kGlobal and
// fewer slots than one token touches it hits exactly never, because layers are visited in a circle.
#pragma once

#include "memory/policy/policy.h"
#include "memory/policy/quota.h"
#include "memory/policy/recency_list.h"

namespace plimsoll::memory::policy {

class Lru final : public Policy {
 public:
  Lru(const PageLayout& layout, Scope scope);

  void Visit(const LayerVisit& visit) override;
  void Admit(PageId page) override;
  void Evict(PageId page) override;
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override;
  void SetCapacity(uint32_t n_slots) override { shares_.SetCapacity(n_slots); }

 private:
  const PageLayout& layout_;
  const Scope scope_;
  LayerShares shares_;
  RecencyList list_;
  std::vector<uint64_t> last_use_;  // [n_pages]
  uint64_t clock_ = 0;
};

}  // namespace plimsoll::memory::policy
