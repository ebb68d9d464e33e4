#include "kv/policy/eviction.h"

#include "kv/block_pool.h"
#include "kv/policy/policy_type.h"

namespace plimsoll::kv::policy {

bool Eviction::is_scored() const { return TypeOf(kind_).is_scored; }
bool Eviction::has_patch() const { return TypeOf(kind_).has_patch; }

BlocksBesideSlots BesideSlots(const BlockLayout& layout, const std::optional<Eviction>& eviction) {
  const bool has_originals = eviction && eviction->n_originals() > 0;
  return {.n_f16 = has_originals ? layout.BlocksForOriginals(eviction->n_originals())
                                 : layout.n_open_blocks(),
          .n_queries = eviction && eviction->is_scored() ? layout.n_query_blocks() : 0U,
          .n_patch = eviction && eviction->has_patch() ? 1U : 0U};
}

}  // namespace plimsoll::kv::policy
