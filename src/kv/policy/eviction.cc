#include "kv/policy/eviction.h"

#include "kv/block_pool.h"
#include "kv/policy/policy_type.h"

namespace plimsoll::kv::policy {

bool Eviction::is_scored() const { return TypeOf(kind_).is_scored; }
bool Eviction::has_patch() const { return TypeOf(kind_).has_patch; }

uint64_t BlocksBeside(const BlockLayout& layout, const std::optional<Eviction>& eviction) {
  const bool has_originals = eviction && eviction->n_originals() > 0;
  return (has_originals ? layout.BlocksForOriginals(eviction->n_originals())
                        : layout.n_open_blocks()) +
         (eviction && eviction->is_scored() ? layout.n_query_blocks() : 0) +
         (eviction && eviction->has_patch() ? 1 : 0);
}

}  // namespace plimsoll::kv::policy
