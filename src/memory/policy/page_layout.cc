#include "base/invariant.h"
#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

PageLayout::PageLayout(std::span<const uint32_t> n_pages) {
  begin_.reserve(n_pages.size() + 1);
  begin_.push_back(0);
  for (uint32_t layer = 0; layer < n_pages.size(); ++layer) {
    Invariant(n_pages[layer] <= UINT32_MAX - begin_.back(), "a page's id fits 32 bits");
    begin_.push_back(begin_.back() + n_pages[layer]);
    layer_of_.resize(begin_.back(), layer);
  }
}

}  // namespace plimsoll::memory::policy
