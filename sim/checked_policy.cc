#include "sim/checked_policy.h"

namespace plimsoll::sim {

using memory::policy::PageId;

void CheckedPolicy::Admit(PageId page) {
  findings_.Note("    page {} gets a frame", page.value);
  findings_.Expect(!admitted_[page.value], "page {} gets a second frame", page.value);
  admitted_[page.value] = true;
  ++n_admitted_;
  findings_.Expect(n_admitted_ <= capacity_, "{} pages have frames, and there are {}", n_admitted_,
                   capacity_);
  inner_->Admit(page);
}

void CheckedPolicy::Evict(PageId page) {
  findings_.Note("    page {} loses its frame", page.value);
  findings_.Expect(admitted_[page.value], "page {} loses a frame that it has not", page.value);
  findings_.Expect(!in_use_[page.value], "page {} is evicted while it is in use", page.value);
  admitted_[page.value] = false;
  --n_admitted_;
  inner_->Evict(page);
}

std::optional<PageId> CheckedPolicy::ChooseVictim(std::optional<PageId> incoming,
                                                  const memory::policy::PageSet& candidates) {
  uint32_t n = 0;
  candidates.ForEach([&](PageId page) {
    ++n;
    findings_.Expect(admitted_[page.value], "page {} may be evicted and has no frame", page.value);
    findings_.Expect(!in_use_[page.value], "page {} may be evicted and is in use", page.value);
  });
  const auto victim = inner_->ChooseVictim(incoming, candidates);
  findings_.Expect(victim.has_value() == (n > 0), "a victim is chosen when there is a candidate");
  findings_.Expect(!victim || candidates.Contains(*victim), "the victim is a candidate");
  return victim;
}

void CheckedPolicy::SetCapacity(uint32_t n_slots) {
  findings_.Note("    {} frames", n_slots);
  capacity_ = n_slots;
  inner_->SetCapacity(n_slots);
}

}  // namespace plimsoll::sim
