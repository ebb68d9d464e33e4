#include "memory/policy/quota.h"

namespace plimsoll::memory::policy {

void LayerShares::SetCapacity(uint32_t n_slots) {
  uint32_t n_layers = 0;  // that have pages at all
  for (uint32_t layer = 0; layer < layout_.n_layers(); ++layer) {
    n_layers += layout_.n_pages(layer) != 0 ? 1U : 0U;
  }
  share_ = n_layers == 0 ? 0 : n_slots / n_layers;
}

}  // namespace plimsoll::memory::policy
