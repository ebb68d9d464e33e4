#include "memory/policy/lru.h"

namespace plimsoll::memory::policy {

Lru::Lru(const PageLayout& layout, Scope scope)
    : layout_(layout),
      scope_(scope),
      shares_(layout),
      list_(layout.n_pages()),
      last_use_(layout.n_pages(), 0) {}

void Lru::Visit(const LayerVisit& visit) {
  for (const uint32_t expert : visit.experts) {
    const PageId page = layout_.page(visit.layer, expert);
    last_use_[page.value] = ++clock_;
    if (list_.Contains(page)) {
      list_.Remove(page);
      list_.PushFront(page);
    }
  }
}

// A page is as recent as its use, not as its arrival, so that the order does not depend on which of
// a layer's pages were resident (and Mattson's stack stays a stack).
void Lru::Admit(PageId page) {
  list_.Insert(page, [&](PageId other) { return last_use_[other.value] > last_use_[page.value]; });
  shares_.Admit(page);
}

void Lru::Evict(PageId page) {
  list_.Remove(page);
  shares_.Evict(page);
}

std::optional<PageId> Lru::ChooseVictim(std::optional<PageId> incoming, const PageSet& candidates) {
  std::optional<PageId> oldest;
  for (auto page = list_.oldest(); page; page = list_.newer_than(*page)) {
    if (!candidates.Contains(*page)) {
      continue;
    }
    if (scope_ == Scope::kGlobal || shares_.Gives(*page, incoming)) {
      return page;
    }
    oldest = oldest ? oldest : page;  // when no layer that should give can
  }
  return oldest;
}

}  // namespace plimsoll::memory::policy
