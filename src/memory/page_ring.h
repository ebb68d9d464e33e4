// Memory for pages that come and go in one order: whoever came first leaves first.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace plimsoll::memory {

// Places in a range of bytes that is used in a circle. A place is contiguous: one that does not fit
// before the end begins at the start again. Allocates when it is made and never after.
class PageRing {
 public:
  PageRing(uint64_t bytes, uint32_t n_places_max);

  // A place's number, which it keeps until it is given back.
  using PlaceId = uint32_t;
  struct Place {
    uint64_t begin = 0;
    uint64_t bytes = 0;
    bool in_use = false;  // false: its bytes are free as soon as all before it are
  };

  // Nothing when there is no room.
  [[nodiscard]] std::optional<PlaceId> Take(uint64_t bytes);
  void Return(PlaceId place);

  [[nodiscard]] const Place& operator[](PlaceId place) const { return places_[place]; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return n_places_ == 0; }

 private:
  [[nodiscard]] PlaceId Last() const {
    return static_cast<PlaceId>((first_ + n_places_ - 1) % places_.size());
  }

  uint64_t bytes_;
  std::vector<Place> places_;  // a circle of its own, of which [first_, first_ + n_places_)
  size_t first_ = 0;
  size_t n_places_ = 0;
};

}  // namespace plimsoll::memory
