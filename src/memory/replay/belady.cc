#include "memory/replay/belady.h"

namespace plimsoll::memory::replay {
namespace {

using policy::PageId;

constexpr uint32_t kNever = UINT32_MAX;

}  // namespace

Belady::Belady(const ReferenceStream& stream)
    : stream_(stream),
      next_visit_(stream.n_references(), kNever),
      next_use_(stream.layout().n_pages(), kNever) {
  // Backwards, next_use_ is what lies ahead; at the start it is each page's first use.
  for (size_t i = stream.size(); i-- > 0;) {
    const auto pages = stream.pages(i);
    for (size_t j = 0; j < pages.size(); ++j) {
      uint32_t& next = next_use_[pages[j].value];
      next_visit_[stream.first_page(i) + j] = next;
      next = static_cast<uint32_t>(i);
    }
  }
}

void Belady::Visit(const policy::LayerVisit& /*visit*/) {
  const auto pages = stream_.pages(n_visited_);
  for (size_t j = 0; j < pages.size(); ++j) {
    next_use_[pages[j].value] = next_visit_[stream_.first_page(n_visited_) + j];
  }
  ++n_visited_;
}

std::optional<PageId> Belady::ChooseVictim(std::optional<PageId> /*incoming*/,
                                           const policy::PageSet& candidates) {
  std::optional<PageId> victim;
  candidates.ForEach([&](PageId page) {
    if (!victim || next_use_[page.value] > next_use_[victim->value]) {
      victim = page;
    }
  });
  return victim;
}

}  // namespace plimsoll::memory::replay
