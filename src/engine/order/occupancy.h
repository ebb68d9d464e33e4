// How much room sequences that grow will take at most together.
#pragma once

#include <span>

namespace plimsoll::engine::order {

struct Growing {
  double n_now = 0;   // tokens that it holds
  double n_more = 0;  // that it will still grow by, one a step, before it ends and gives all back
};

// The largest sum of tokens at any step from now on. Reorders `sequences`. The forward-looking test
// of admission in "SVF" (arXiv 2606.22327): the most is held just before one of them ends.
// O(n log n).
[[nodiscard]] double PeakOccupancy(std::span<Growing> sequences);

}  // namespace plimsoll::engine::order
