// Which experts of a layer go with which of the layer before: counts of pairs, learned as the
// routers speak. They name a layer's likely experts before its router does, and without arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/policy/follow_table.h"
#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

// Layers without pages are passed over. Allocates when it is made.
class LayerPairs {
 public:
  explicit LayerPairs(const PageLayout& layout);
  [[nodiscard]] static uint64_t Bytes(const PageLayout& layout);

  void Visit(const LayerVisit& visit);
  // Each page's chance to be used by the present tokens in the layer behind that of the last visit:
  // a sum over the tokens, [n_pages of that layer]. To be called after Visit.
  void Expect(std::span<float> expected) const;

 private:
  // Of a pass: of more, a prompt's, the last.
  static constexpr uint32_t kTokens = 8;
  static constexpr uint32_t kActiveMax = 16;

  struct Layer {
    FollowTable from_before;   // [pages of the layer before][pages of this one]
    std::vector<float> rates;  // uses a token, lately
  };
  struct Tokens {
    uint32_t layer = UINT32_MAX;
    uint64_t step = 0;
    uint32_t n = 0;
    uint32_t n_active = 0;
    uint16_t experts[kTokens][kActiveMax] = {};

    [[nodiscard]] std::span<const uint16_t> Of(uint32_t token) const {
      return {experts[token], n_active};
    }
  };

  [[nodiscard]] static Tokens LastTokens(const LayerVisit& visit);

  std::vector<Layer> layers_;   // by index of the layer
  std::vector<uint32_t> next_;  // the next layer with pages; that of the last is the layer count
  Tokens last_;
};

}  // namespace plimsoll::memory::policy
