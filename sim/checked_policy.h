// A policy around another that sees to it that the pager keeps its side of the contract.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "memory/policy/policy.h"
#include "sim/findings.h"

namespace plimsoll::sim {

class CheckedPolicy final : public memory::policy::Policy {
 public:
  CheckedPolicy(std::unique_ptr<memory::policy::Policy> inner, uint32_t n_pages, Findings& findings)
      : inner_(std::move(inner)), findings_(findings), admitted_(n_pages), in_use_(n_pages) {}

  void Visit(const memory::policy::LayerVisit& visit) override { inner_->Visit(visit); }
  void Admit(memory::policy::PageId page) override;
  void Evict(memory::policy::PageId page) override;
  [[nodiscard]] std::optional<memory::policy::PageId> ChooseVictim(
      std::optional<memory::policy::PageId> incoming,
      const memory::policy::PageSet& candidates) override;
  void SetCapacity(uint32_t n_slots) override;

  // Pages that may not be evicted.
  void SetInUse(memory::policy::PageId page, bool in_use) { in_use_[page.value] = in_use; }

  [[nodiscard]] bool IsAdmitted(memory::policy::PageId page) const { return admitted_[page.value]; }
  [[nodiscard]] uint32_t n_admitted() const { return n_admitted_; }
  [[nodiscard]] uint32_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<memory::policy::Policy> inner_;
  Findings& findings_;
  std::vector<bool> admitted_;
  std::vector<bool> in_use_;
  uint32_t n_admitted_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace plimsoll::sim
