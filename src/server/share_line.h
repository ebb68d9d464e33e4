// How several models share one line. Numbers in, numbers out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace plimsoll::server {

// What a line means to one model: least <= good <= all.
struct LineWish {
  uint64_t least = 0;  // below it the model does not run
  uint64_t good = 0;   // below it every token reads weights that every token needs
  uint64_t all = 0;    // with it nothing is read from the disk
};

// Lines of models that are loaded together: everyone has its least; what is left brings all of them
// towards good, then towards all, each in proportion to what it still lacks; the rest, which is
// room for more sequences, is divided in proportion to `all`. Their sum is at most `line`. Nothing
// when `line` is less than the sum of the leasts.
[[nodiscard]] std::optional<std::vector<uint64_t>> ShareLine(std::span<const LineWish> wishes,
                                                             uint64_t line);

// A model that is loaded, as who wants to load another sees it.
struct Tenant {
  LineWish wish;
  bool is_idle = false;    // nobody uses it: it can be unloaded now
  uint64_t last_used = 0;  // a later use has a higher number
};

// How room is made for a newcomer.
struct Eviction {
  std::vector<size_t> unload;  // of the tenants, those that go: in this order
  bool must_wait = false;      // some of these are in use still
};

// Idle tenants go, least recently used first, until all that stay and the newcomer have what is
// good for them. If they have not even the least then, tenants in use go too, in the same order: as
// few as need be. Nothing when the newcomer would not run alone.
[[nodiscard]] std::optional<Eviction> MakeRoom(std::span<const Tenant> tenants,
                                               const LineWish& newcomer, uint64_t line);

}  // namespace plimsoll::server
