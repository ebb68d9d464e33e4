// How the attention of some queries is spread: what ARKV goes by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace plimsoll::model {

// Of one head, or summed over some, after ARKV (2026). Each is a sum over slots.
struct AttentionSpread {
  double entropy = 0;   // -a ln(a + 1e-10) over the queries
  double variance = 0;  // over the queries
  double kurtosis = 0;  // m4 / m2^2 over the queries, where they differ

  AttentionSpread& operator+=(const AttentionSpread& other);
  // entropy^(1 / 7.774) * variance^(1 / 5.407) * kurtosis^(1 / 5.528), ARKV's weight of a layer; 0
  // where one of them is not above 0.
  [[nodiscard]] float Weight() const;
};

// The weights that a head's queries give to slots, query by query: their first four moments, by the
// sums of powers of the differences from the first query's weight. That is one of them, so it lies
// within sqrt(n) standard deviations of the mean and no digits are lost. The arithmetic, in double,
// is in docs/numerics.md.
class QueryMoments {
 public:
  // Doubles and floats for so many slots.
  static constexpr size_t kSums = 4;

  // `sums` has kSums times as many elements as `first`, which has one for every slot.
  QueryMoments(std::span<double> sums, std::span<float> first) : sums_(sums), first_(first) {}

  // A query's weights of all slots. The slots before `n_past` count for the spread.
  void Add(std::span<const float> weights, size_t n_past);
  // scores[slot] = mean + 263.8 * variance over the queries, ARKV's score of a heavy hitter.
  void Score(std::span<float> scores) const;
  [[nodiscard]] AttentionSpread Spread(size_t n_past) const;

 private:
  struct Moments {
    double mean = 0;
    double variance = 0;
    double fourth = 0;  // central
  };
  [[nodiscard]] Moments Of(size_t slot) const;

  std::span<double> sums_;
  std::span<float> first_;
  double entropy_ = 0;
  uint32_t n_ = 0;
};

}  // namespace plimsoll::model
