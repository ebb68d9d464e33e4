#include "memory/policy/s3_fifo.h"

#include <algorithm>

namespace plimsoll::memory::policy {
namespace {

constexpr uint8_t kUsesMax = 3;
constexpr uint32_t kSmallPart = 10;  // a tenth of the slots, as in the paper

}  // namespace

S3Fifo::S3Fifo(const PageLayout& layout)
    : layout_(layout),
      small_(layout.n_pages()),
      main_(layout.n_pages()),
      ghosts_(layout.n_pages()),
      uses_(layout.n_pages(), 0) {}

void S3Fifo::SetCapacity(uint32_t n_slots) {
  n_small_ = std::max(1U, n_slots / kSmallPart);
  n_ghosts_ = n_slots - std::min(n_slots, n_small_);
  TrimGhosts();
}

void S3Fifo::Visit(const LayerVisit& visit) {
  for (const uint32_t expert : visit.experts) {
    const PageId page = layout_.page(visit.layer, expert);
    if (small_.Contains(page) || main_.Contains(page)) {
      uint8_t& uses = uses_[page.value];
      uses = std::min<uint8_t>(kUsesMax, static_cast<uint8_t>(uses + 1));
    }
  }
}

void S3Fifo::Admit(PageId page) {
  uses_[page.value] = 0;
  if (ghosts_.Contains(page)) {
    ghosts_.Remove(page);
    main_.PushFront(page);
  } else {
    small_.PushFront(page);
  }
}

void S3Fifo::Evict(PageId page) {
  if (main_.Contains(page)) {
    main_.Remove(page);
    return;
  }
  small_.Remove(page);
  ghosts_.PushFront(page);
  TrimGhosts();
}

void S3Fifo::TrimGhosts() {
  while (ghosts_.size() > n_ghosts_) {
    ghosts_.Remove(*ghosts_.oldest());
  }
}

std::optional<PageId> S3Fifo::ChooseVictim(std::optional<PageId> /*incoming*/,
                                           const PageSet& candidates) {
  if (small_.size() >= n_small_) {
    if (const auto victim = FromSmall(candidates)) {
      return victim;
    }
  }
  if (const auto victim = FromMain(candidates)) {
    return victim;
  }
  const auto victim = FromSmall(candidates);
  return victim ? victim : FromMain(candidates);  // what the small queue moved on
}

// The oldest that was not used twice; those that were move on to the main queue.
std::optional<PageId> S3Fifo::FromSmall(const PageSet& candidates) {
  for (auto page = small_.oldest(); page;) {
    const auto newer = small_.newer_than(*page);
    if (candidates.Contains(*page)) {
      if (uses_[page->value] <= 1) {
        return page;
      }
      uses_[page->value] = 0;
      small_.Remove(*page);
      main_.PushFront(*page);
    }
    page = newer;
  }
  return std::nullopt;
}

// The oldest without a use left; each chance costs one. Every round takes a use from each
// candidate, so the fourth finds one if there is any.
std::optional<PageId> S3Fifo::FromMain(const PageSet& candidates) {
  for (uint32_t round = 0; round <= kUsesMax; ++round) {
    const uint32_t n = main_.size();
    auto page = main_.oldest();
    for (uint32_t i = 0; i < n && page; ++i) {
      const auto newer = main_.newer_than(*page);
      if (candidates.Contains(*page)) {
        uint8_t& uses = uses_[page->value];
        if (uses == 0) {
          return page;
        }
        --uses;
        main_.Remove(*page);
        main_.PushFront(*page);
      }
      page = newer;
    }
  }
  return std::nullopt;
}

}  // namespace plimsoll::memory::policy
