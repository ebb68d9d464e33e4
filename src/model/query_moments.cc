#include "model/query_moments.h"

#include <algorithm>
#include <cmath>

#include "kernels/trig.h"

namespace plimsoll::model {
namespace {

// Tuned for Qwen3-8B and Llama-3.1-8B by ARKV's authors, who found the same for both.
constexpr double kEntropyRoot = 7.774;
constexpr double kVarianceRoot = 5.407;
constexpr double kKurtosisRoot = 5.528;
constexpr double kGamma = 263.8;

bool IsUsable(double x) { return std::isnormal(x) && x > 0; }

}  // namespace

AttentionSpread& AttentionSpread::operator+=(const AttentionSpread& other) {
  entropy += other.entropy;
  variance += other.variance;
  kurtosis += other.kurtosis;
  return *this;
}

float AttentionSpread::Weight() const {
  if (!IsUsable(entropy) || !IsUsable(variance) || !IsUsable(kurtosis)) {
    return 0;
  }
  return static_cast<float>(kernels::Exp(kernels::Log(entropy) / kEntropyRoot +
                                         kernels::Log(variance) / kVarianceRoot +
                                         kernels::Log(kurtosis) / kKurtosisRoot));
}

void QueryMoments::Add(std::span<const float> weights, size_t n_past) {
  if (n_++ == 0) {
    std::ranges::copy(weights, first_.begin());
    std::ranges::fill(sums_, 0.0);
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    const double d = static_cast<double>(weights[i]) - static_cast<double>(first_[i]);
    const double d2 = d * d;
    double* sums = sums_.data() + i * kSums;
    sums[0] += d;
    sums[1] += d2;
    sums[2] += d2 * d;
    sums[3] += d2 * d2;
  }
  for (const float weight : weights.first(n_past)) {
    if (weight > 0) {
      const auto a = static_cast<double>(weight);
      entropy_ -= a * kernels::Log(a + 1e-10);
    }
  }
}

QueryMoments::Moments QueryMoments::Of(size_t slot) const {
  const double* sums = sums_.data() + slot * kSums;
  const double n = n_;
  const double m = sums[0] / n;
  const double s2 = sums[1] / n;
  const double s3 = sums[2] / n;
  const double s4 = sums[3] / n;
  const double variance = s2 - m * m;
  const double fourth = s4 - 4 * m * s3 + 6 * (m * m) * s2 - 3 * (m * m) * (m * m);
  return {.mean = static_cast<double>(first_[slot]) + m, .variance = variance, .fourth = fourth};
}

void QueryMoments::Score(std::span<float> scores) const {
  for (size_t i = 0; i < scores.size(); ++i) {
    const Moments moments = Of(i);
    scores[i] = static_cast<float>(moments.mean + kGamma * moments.variance);
  }
}

AttentionSpread QueryMoments::Spread(size_t n_past) const {
  AttentionSpread spread = {.entropy = entropy_, .variance = 0, .kurtosis = 0};
  for (size_t i = 0; i < n_past; ++i) {
    const Moments moments = Of(i);
    if (IsUsable(moments.variance) && IsUsable(moments.variance * moments.variance)) {
      spread.variance += moments.variance;
      spread.kurtosis += moments.fourth / (moments.variance * moments.variance);
    }
  }
  return spread;
}

}  // namespace plimsoll::model
