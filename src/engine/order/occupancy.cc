#include "engine/order/occupancy.h"

#include <algorithm>
#include <functional>

namespace plimsoll::engine::order {

double PeakOccupancy(std::span<Growing> sequences) {
  std::ranges::sort(sequences, std::greater<>(), &Growing::n_more);
  double peak = 0;
  double held = 0;   // now, by those that end no sooner than the present one
  double count = 0;  // of them
  for (const Growing& sequence : sequences) {
    held += sequence.n_now;
    count += 1;
    peak = std::max(peak, held + count * sequence.n_more);
  }
  return peak;
}

}  // namespace plimsoll::engine::order
