// What it costs to evict a block of a prefix: the demand that loses it, times the cheapest way to
// get it back, a byte that is freed. The rule is that of Service-Cut Certificates (arXiv
// 2606.22270); in a tree of prefixes the demand that a node cuts off is that of its subtree, since
// whoever wants a descendant passes through it.
//
// Every number here comes of additions, multiplications, divisions and exact shifts of doubles, so
// that a check of the log on another machine finds the same prices.
#pragma once

#include <cstdint>

namespace plimsoll::engine::prefix {

// How fast demand fades.
struct DemandClock {  // docs/prefix-cache.md has what other values cost
  // A conversation goes on soon or not at all.
  uint64_t use_half_life_us = 20'000'000;
  // What several have begun with, others will begin with for as long as it is in use.
  uint64_t branch_half_life_us = 1'200'000'000;
};

// Of a node: how often it will be used a second, from how it was used.
class Demand {
 public:
  // A request used it. It branches when it leaves what was there for tokens of its own, rather than
  // going on where that ended.
  void Add(uint64_t time_us, bool branches, const DemandClock& clock);
  // At a time that is not before the last use; else then.
  [[nodiscard]] double At(uint64_t time_us, const DemandClock& clock) const;

 private:
  double uses_ = 0;  // as they count at the last use
  double branches_ = 0;
  uint64_t last_us_ = 0;
};

// How keys and values come back.
struct WaysBack {
  double seconds_per_token = 1e-3;               // of a prompt
  double seconds_per_token_and_position = 1e-6;  // more, for each position before it
  double reload_bytes_per_second = 0;            // from a slower memory; 0: there is none

  // Of `n_tokens` tokens from this position on.
  [[nodiscard]] double RecomputeSeconds(uint32_t first_position, uint32_t n_tokens) const;
  // The cheapest one for them; they take `bytes`. `is_saved`: the slower memory has them.
  [[nodiscard]] double CheapestSeconds(uint32_t first_position, uint32_t n_tokens, uint64_t bytes,
                                       bool is_saved) const;
};

// Seconds lost a second and byte: the smaller, the sooner it goes.
[[nodiscard]] double PriceOf(double demand, double seconds, uint64_t bytes);

}  // namespace plimsoll::engine::prefix
