// Which experts one sequence has lately used, and how often.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::engine::order {

// Not thread-safe. Allocates when it is made and never after: 4 bytes a page.
class ExpertRates {
 public:
  // Half of what is known is of the last eleven tokens.
  static constexpr float kShareOfOneToken = 1.0F / 16;

  [[nodiscard]] static uint64_t Bytes(const memory::policy::PageLayout& layout) {
    return layout.n_pages() * sizeof(float) + layout.n_layers();
  }
  explicit ExpertRates(const memory::policy::PageLayout& layout)
      : layout_(layout), rates_(layout.n_pages(), 0), n_tokens_(layout.n_layers(), 0) {}

  // A token's experts in a layer, by their index in it.
  void Use(uint32_t layer, std::span<const uint32_t> experts);

  // For each page the share of the last tokens that used it: [n_pages].
  [[nodiscard]] std::span<const float> pages() const { return rates_; }

 private:
  const memory::policy::PageLayout& layout_;
  std::vector<float> rates_;
  std::vector<uint8_t> n_tokens_;  // by layer, until the first ones weigh no more than others
};

}  // namespace plimsoll::engine::order
