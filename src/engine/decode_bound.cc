#include "engine/decode_bound.h"

#include <algorithm>

namespace plimsoll::engine {
namespace {

double MissRatio(const PagingSnapshot& paging) {
  const memory::WantStats& decode = paging.pager.of(memory::Phase::kDecode);
  if (decode.wanted == 0) {
    return paging.n_pages == 0
               ? 0
               : 1 - std::min(1.0, static_cast<double>(paging.n_frames) / paging.n_pages);
  }
  // A guess that came true was missing too: the policy had not kept it.
  const uint64_t misses = decode.misses() + paging.pager.prefetched_used;
  return std::min(1.0, static_cast<double>(misses) / static_cast<double>(decode.wanted));
}

}  // namespace

DecodeCost DecodeBound::Now(const std::optional<PagingSnapshot>& paging,
                            const std::optional<StreamingSnapshot>& streaming) const {
  TokenWork now = work;
  now.streamed_bytes = streaming ? streaming->total_bytes - streaming->kept_bytes : 0;
  return CostOfDecode(now, speed, paging ? MissRatio(*paging) : 0);
}

}  // namespace plimsoll::engine
