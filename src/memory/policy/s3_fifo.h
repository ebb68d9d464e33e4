// S3-FIFO: a small queue that most pages never leave but for the way out, a main queue with a
// second chance, and a ghost queue of what left lately.
//
// Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP
// 2023.
#pragma once

#include "memory/policy/policy.h"
#include "memory/policy/recency_list.h"

namespace plimsoll::memory::policy {

class S3Fifo final : public Policy {
 public:
  explicit S3Fifo(const PageLayout& layout);

  void Visit(const LayerVisit& visit) override;
  void Admit(PageId page) override;
  void Evict(PageId page) override;
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override;
  void SetCapacity(uint32_t n_slots) override;

 private:
  void TrimGhosts();
  [[nodiscard]] std::optional<PageId> FromSmall(const PageSet& candidates);
  [[nodiscard]] std::optional<PageId> FromMain(const PageSet& candidates);

  const PageLayout& layout_;
  RecencyList small_;
  RecencyList main_;
  RecencyList ghosts_;
  std::vector<uint8_t> uses_;  // [n_pages] since admission or the last chance, at most kUsesMax
  uint32_t n_small_ = 0;       // the small queue's share of the slots
  uint32_t n_ghosts_ = 0;
};

}  // namespace plimsoll::memory::policy
