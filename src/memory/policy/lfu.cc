#include "memory/policy/lfu.h"

#include <cmath>

namespace plimsoll::memory::policy {
namespace {

constexpr double kUnitMax = 1e100;  // then counts are expressed anew, long before they overflow

}  // namespace

DecayedLfu::DecayedLfu(const PageLayout& layout, Scope scope, double half_life)
    : layout_(layout),
      scope_(scope),
      growth_(std::exp2(1 / half_life)),
      shares_(layout),
      counts_(layout.n_pages(), 0) {}

// Instead of every count shrinking, what is added grows.
void DecayedLfu::AdvanceTo(uint64_t step) {
  unit_ *= std::pow(growth_, static_cast<double>(step - step_));
  step_ = step;
  if (unit_ > kUnitMax) {
    for (double& count : counts_) {
      count /= unit_;
    }
    unit_ = 1;
  }
}

void DecayedLfu::Visit(const LayerVisit& visit) {
  if (visit.step > step_) {
    AdvanceTo(visit.step);
  }
  for (const uint32_t expert : visit.experts) {
    counts_[layout_.page(visit.layer, expert).value] += unit_;
  }
}

std::optional<PageId> DecayedLfu::ChooseVictim(std::optional<PageId> incoming,
                                               const PageSet& candidates) {
  std::optional<PageId> victim;
  bool gives = false;
  candidates.ForEach([&](PageId page) {
    const bool page_gives = scope_ == Scope::kGlobal || shares_.Gives(page, incoming);
    if (victim && (gives && !page_gives)) {
      return;
    }
    if (!victim || page_gives != gives || counts_[page.value] < counts_[victim->value]) {
      victim = page;
      gives = page_gives;
    }
  });
  return victim;
}

}  // namespace plimsoll::memory::policy
