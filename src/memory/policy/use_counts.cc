#include "memory/policy/use_counts.h"

#include <algorithm>

namespace plimsoll::memory::policy {

UseCounts::UseCounts(const PageLayout& layout)
    : layout_(layout), uses_(layout.n_pages(), 0), n_tokens_(layout.n_layers(), 0) {}

void UseCounts::Visit(const LayerVisit& visit) {
  n_tokens_[visit.layer] += visit.n_tokens;
  for (const uint32_t expert : visit.experts) {
    uint32_t& uses = uses_[layout_.page(visit.layer, expert).value];
    uses += uses != UINT32_MAX ? 1U : 0U;
  }
}

uint64_t UseCounts::n_tokens() const {
  return n_tokens_.empty() ? 0 : *std::ranges::max_element(n_tokens_);
}

std::vector<float> UseCounts::Popularity() const {
  std::vector<float> popularity(uses_.size(), 0);
  for (uint32_t layer = 0; layer < layout_.n_layers(); ++layer) {
    const uint32_t begin = layout_.begin(layer);
    const auto n_tokens = static_cast<float>(n_tokens_[layer]);
    for (uint32_t page = begin; n_tokens > 0 && page < begin + layout_.n_pages(layer); ++page) {
      popularity[page] = std::min(1.0F, static_cast<float>(uses_[page]) / n_tokens);
    }
  }
  return popularity;
}

}  // namespace plimsoll::memory::policy
