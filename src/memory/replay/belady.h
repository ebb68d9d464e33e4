// The best that any policy could have done: evict the page whose next use is furthest away.
//
// Source: Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
// Journal 5(2), 1966.
#pragma once

#include <vector>

#include "memory/policy/policy.h"
#include "memory/replay/reference_stream.h"

namespace plimsoll::memory::replay {

// For one replay of `stream`, which it knows to its end and which outlives it.
class Belady final : public policy::Policy {
 public:
  explicit Belady(const ReferenceStream& stream);

  void Visit(const policy::LayerVisit& visit) override;
  void Admit(policy::PageId /*page*/) override {}
  void Evict(policy::PageId /*page*/) override {}
  [[nodiscard]] std::optional<policy::PageId> ChooseVictim(
      std::optional<policy::PageId> incoming, const policy::PageSet& candidates) override;
  void SetCapacity(uint32_t /*n_slots*/) override {}

 private:
  const ReferenceStream& stream_;
  std::vector<uint32_t> next_visit_;  // [references]: the visit that uses the page again; kNever
  std::vector<uint32_t> next_use_;    // [n_pages]: as of now
  size_t n_visited_ = 0;
};

}  // namespace plimsoll::memory::replay
