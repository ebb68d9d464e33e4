// Equal shares of the slots for the layers: what keeps a policy that knows only recency or counts
// from giving one layer's pages away for another's.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

enum class Scope : uint8_t {
  kGlobal,    // every page competes with every other
  kPerLayer,  // a layer that holds its share replaces its own pages
};

// Counts each layer's resident pages and says which layers have to give.
class LayerShares {
 public:
  explicit LayerShares(const PageLayout& layout)
      : layout_(layout), n_resident_(layout.n_layers(), 0) {}

  void Admit(PageId page) { ++n_resident_[layout_.layer_of(page)]; }
  void Evict(PageId page) { --n_resident_[layout_.layer_of(page)]; }
  void SetCapacity(uint32_t n_slots);

  // Whether `page` belongs to a layer that gives a slot to `incoming`: the incoming page's own when
  // it holds its share, else those that hold more than theirs.
  [[nodiscard]] bool Gives(PageId page, std::optional<PageId> incoming) const {
    const uint32_t layer = layout_.layer_of(page);
    if (incoming && HoldsShare(layout_.layer_of(*incoming))) {
      return layer == layout_.layer_of(*incoming);
    }
    return n_resident_[layer] > share_;
  }

 private:
  [[nodiscard]] bool HoldsShare(uint32_t layer) const { return n_resident_[layer] >= share_; }

  const PageLayout& layout_;
  std::vector<uint32_t> n_resident_;  // [n_layers]
  uint32_t share_ = 0;
};

}  // namespace plimsoll::memory::policy
