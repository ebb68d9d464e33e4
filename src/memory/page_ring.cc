#include "memory/page_ring.h"

#include "base/invariant.h"

namespace plimsoll::memory {

PageRing::PageRing(uint64_t bytes, uint32_t n_places_max) : bytes_(bytes), places_(n_places_max) {}

std::optional<PageRing::PlaceId> PageRing::Take(uint64_t bytes) {
  if (bytes > bytes_ || n_places_ == places_.size()) {
    return std::nullopt;
  }
  uint64_t begin = 0;
  if (n_places_ != 0) {
    const uint64_t front = places_[first_].begin;
    const uint64_t end = places_[Last()].begin + places_[Last()].bytes;
    const bool is_wrapped = places_[Last()].begin < front;
    begin = end;
    if (!is_wrapped && bytes > bytes_ - end) {
      begin = 0;
      if (bytes > front) {
        return std::nullopt;
      }
    } else if (is_wrapped && bytes > front - end) {
      return std::nullopt;
    }
  }
  ++n_places_;
  places_[Last()] = {.begin = begin, .bytes = bytes, .in_use = true};
  return Last();
}

void PageRing::Return(PlaceId place) {
  Invariant(places_[place].in_use, "a place is given back once");
  places_[place].in_use = false;
  while (n_places_ != 0 && !places_[first_].in_use) {
    first_ = (first_ + 1) % places_.size();
    --n_places_;
  }
}

}  // namespace plimsoll::memory
