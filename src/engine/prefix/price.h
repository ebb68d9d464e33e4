// What it costs to evict a block of a prefix: the demand that loses it, times the cheapest way to
// get it back, a byte that is freed. The rule is that of Service-Cut Certificates (arXiv
// 2606.22270); in a tree of prefixes the demand that a node cuts off is that of its subtree, since
// whoever wants a descendant passes through it.
//
// Every number here comes of additions, multiplications, divisions and exact shifts of doubles, so
// that a check of the log on another machine finds the same prices.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace plimsoll::engine::prefix {

// A number that is not negative and may be far beyond a double's range: mantissa * 2^exponent, the
// mantissa in [0.5, 1).
struct WideReal {
  int64_t exponent = std::numeric_limits<int64_t>::min();
  double mantissa = 0;  // of zero: 0, with the smallest exponent

  [[nodiscard]] static WideReal Of(double value, int64_t exponent = 0);
  [[nodiscard]] WideReal Plus(WideReal other) const;
  [[nodiscard]] WideReal Times(double factor) const;
  friend auto operator<=>(const WideReal&, const WideReal&) = default;
};

// What demand is counted by.
struct DemandClock {
  uint64_t half_life_us = 600'000'000;  // after which a use counts half

  // A use at this time, against one at time 0. All uses fade alike, so which of two sums is larger
  // does not depend on when one looks.
  [[nodiscard]] WideReal WeightAt(uint64_t time_us) const;
};

// How keys and values come back.
struct WaysBack {
  double seconds_per_token = 1e-3;               // of a prompt
  double seconds_per_token_and_position = 1e-6;  // more, for each position before it
  double reload_bytes_per_second = 0;            // from a slower memory that has them; 0: none does

  // The cheapest one for `n_tokens` tokens from this position on, which take `bytes`.
  [[nodiscard]] double CheapestSeconds(uint32_t first_position, uint32_t n_tokens,
                                       uint64_t bytes) const;
};

// The smaller, the sooner it goes.
[[nodiscard]] WideReal PriceOf(WideReal demand, double seconds, uint64_t bytes);

}  // namespace plimsoll::engine::prefix
