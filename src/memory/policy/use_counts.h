// How often each page was used: what of a run is worth remembering for the next.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

// Prompts and answers alike, every token the same. Allocates when it is made.
class UseCounts {
 public:
  // `layout` outlives it.
  explicit UseCounts(const PageLayout& layout);
  // Of each page, what the counts take.
  static constexpr uint64_t kBytesAPage = sizeof(uint32_t);

  void Visit(const LayerVisit& visit);

  // That the layer which saw most of them has seen.
  [[nodiscard]] uint64_t n_tokens() const;
  // Uses a token, at most 1, of each page; 0 in layers that saw nothing.
  [[nodiscard]] std::vector<float> Popularity() const;

 private:
  const PageLayout& layout_;
  std::vector<uint32_t> uses_;      // [n_pages]
  std::vector<uint64_t> n_tokens_;  // [n_layers]
};

}  // namespace plimsoll::memory::policy
