#include "sampling/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/math.h"

namespace plimsoll::sampling {
namespace {

float Rankable(float logit) {
  return std::isnan(logit) ? -std::numeric_limits<float>::infinity() : logit;
}

}  // namespace

double LogSumExp(std::span<const float> logits) {
  float max = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) {
    max = std::max(max, Rankable(logit));
  }
  if (std::isinf(max)) {
    return max;
  }
  double sum = 0;
  for (const float logit : logits) {
    sum += StableExp(static_cast<double>(Rankable(logit)) - max);
  }
  return max + StableLog(sum);
}

std::vector<std::pair<TokenId, double>> TopLogprobs(std::span<const float> logits, size_t n) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), TokenId{0});
  n = std::min(n, ids.size());
  const auto logit = [&](TokenId id) { return Rankable(logits[static_cast<size_t>(id)]); };
  std::partial_sort(
      ids.begin(), ids.begin() + static_cast<ptrdiff_t>(n), ids.end(),
      [&](TokenId a, TokenId b) { return logit(a) != logit(b) ? logit(a) > logit(b) : a < b; });
  const double total = LogSumExp(logits);
  std::vector<std::pair<TokenId, double>> top;
  for (size_t i = 0; i < n; ++i) {
    top.emplace_back(ids[i], static_cast<double>(logit(ids[i])) - total);
  }
  return top;
}

}  // namespace plimsoll::sampling
