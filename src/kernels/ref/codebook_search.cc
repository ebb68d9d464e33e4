#include "kernels/codebook_search.h"

#include <algorithm>
#include <limits>

#include "kernels/ref/ref.h"

namespace plimsoll::kernels::ref {
namespace {

// Entries that are gone through side by side, whose order is that of best_entry.
constexpr size_t kLanes = 64;

void SumOf(const float* digits, size_t width, size_t n, const float* factors, bool squared,
           float* out) {
  for (size_t e = 0; e < n; e += kLanes) {
    float sums[kLanes] = {};
    for (size_t i = 0; i < width; ++i) {
      const float* const g = digits + i * n + e;
      for (size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += factors[i] * (squared ? g[lane] * g[lane] : g[lane]);
      }
    }
    std::copy_n(sums, kLanes, out + e);
  }
}

void Sum(const float* digits, size_t width, size_t n, const float* factors, const float* weights,
         const EntrySums& out) {
  SumOf(digits, width, n, factors, false, out.products);
  SumOf(digits, width, n, weights, true, out.squares);
  if (out.weights != nullptr) {
    SumOf(digits, width, n, weights, false, out.weights);
  }
}

float HighestAt(const float* intercepts, const float* slopes, size_t n, float scale) {
  float best[kLanes];
  std::fill_n(best, kLanes, -std::numeric_limits<float>::infinity());
  for (size_t e = 0; e < n; e += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = intercepts[e + lane] - scale * slopes[e + lane];
      best[lane] = value > best[lane] ? value : best[lane];
    }
  }
  return *std::max_element(best, best + kLanes);
}

void Highest(const float* intercepts, const float* slopes, size_t n, const float* scales,
             size_t n_scales, float* out) {
  for (size_t i = 0; i < n_scales; ++i) {
    out[i] = HighestAt(intercepts, slopes, n, scales[i]);
  }
}

// Rounding keeps order: the highest line stays the highest when all are multiplied.
size_t BestEntry(const float* intercepts, const float* slopes, size_t n, float scale,
                 float factor) {
  const float highest = factor * HighestAt(intercepts, slopes, n, scale);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    for (size_t e = lane; e < n; e += kLanes) {
      if (factor * (intercepts[e] - scale * slopes[e]) == highest) {
        return e;
      }
    }
  }
  return 0;
}

}  // namespace

const CodebookSearch kCodebookSearch = {Sum, Highest, BestEntry};

}  // namespace plimsoll::kernels::ref
