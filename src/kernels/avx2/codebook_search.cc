#include "kernels/codebook_search.h"

#include <bit>
#include <limits>

#include <immintrin.h>

#include "kernels/avx2/avx2.h"

namespace plimsoll::kernels::avx2 {
namespace {

constexpr size_t kGroup = 64;  // whose order is that of best_entry
constexpr size_t kLanes = 8;

// Four registers of entries at a time, whose sums do not wait for one another.
template <bool kWithWeights>
void SumAll(const float* digits, size_t width, size_t n, const float* factors, const float* weights,
            const EntrySums& out) {
  constexpr size_t kRegisters = 4;
  for (size_t e = 0; e < n; e += kRegisters * kLanes) {
    __m256 products[kRegisters] = {};
    __m256 squares[kRegisters] = {};
    __m256 plain[kRegisters] = {};
    for (size_t i = 0; i < width; ++i) {
      const __m256 factor = _mm256_broadcast_ss(factors + i);
      const __m256 weight = _mm256_broadcast_ss(weights + i);
      for (size_t r = 0; r < kRegisters; ++r) {
        const __m256 g = _mm256_load_ps(digits + i * n + e + r * kLanes);
        products[r] = _mm256_add_ps(products[r], _mm256_mul_ps(factor, g));
        squares[r] = _mm256_add_ps(squares[r], _mm256_mul_ps(weight, _mm256_mul_ps(g, g)));
        if constexpr (kWithWeights) {
          plain[r] = _mm256_add_ps(plain[r], _mm256_mul_ps(weight, g));
        }
      }
    }
    for (size_t r = 0; r < kRegisters; ++r) {
      const size_t at = e + r * kLanes;
      _mm256_store_ps(out.products + at, products[r]);
      _mm256_store_ps(out.squares + at, squares[r]);
      if constexpr (kWithWeights) {
        _mm256_store_ps(out.weights + at, plain[r]);
      }
    }
  }
}

void Sum(const float* digits, size_t width, size_t n, const float* factors, const float* weights,
         const EntrySums& out) {
  if (out.weights == nullptr) {
    SumAll<false>(digits, width, n, factors, weights, out);
  } else {
    SumAll<true>(digits, width, n, factors, weights, out);
  }
}

__m256 LinesAt(const float* intercepts, const float* slopes, __m256 scale) {
  return _mm256_sub_ps(_mm256_load_ps(intercepts), _mm256_mul_ps(scale, _mm256_load_ps(slopes)));
}

float LargestLane(__m256 x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

// All scales in one pass, so that every entry is loaded once.
template <size_t kScales>
void HighestOf(const float* intercepts, const float* slopes, size_t n, const float* scales,
               float* out) {
  __m256 best[kScales];
  __m256 scale[kScales];
  for (size_t i = 0; i < kScales; ++i) {
    best[i] = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
    scale[i] = _mm256_broadcast_ss(scales + i);
  }
  for (size_t e = 0; e < n; e += kLanes) {
    for (size_t i = 0; i < kScales; ++i) {
      best[i] = _mm256_max_ps(LinesAt(intercepts + e, slopes + e, scale[i]), best[i]);
    }
  }
  for (size_t i = 0; i < kScales; ++i) {
    out[i] = LargestLane(best[i]);
  }
}

void Highest(const float* intercepts, const float* slopes, size_t n, const float* scales,
             size_t n_scales, float* out) {
  constexpr size_t kTogether = 3;
  size_t i = 0;
  for (; i + kTogether <= n_scales; i += kTogether) {
    HighestOf<kTogether>(intercepts, slopes, n, scales + i, out + i);
  }
  for (; i < n_scales; ++i) {
    HighestOf<1>(intercepts, slopes, n, scales + i, out + i);
  }
}

// Rounding keeps order: the highest line stays the highest when all are multiplied.
size_t BestEntry(const float* intercepts, const float* slopes, size_t n, float scale,
                 float factor) {
  float line = 0;
  HighestOf<1>(intercepts, slopes, n, &scale, &line);
  const __m256 highest = _mm256_set1_ps(factor * line);
  const __m256 at = _mm256_set1_ps(scale);
  const __m256 times = _mm256_set1_ps(factor);
  size_t best = n;
  for (size_t e = 0; e < n; e += kLanes) {
    const __m256 values = _mm256_mul_ps(times, LinesAt(intercepts + e, slopes + e, at));
    auto equal =
        static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(values, highest, _CMP_EQ_OQ)));
    for (; equal != 0; equal &= equal - 1) {
      const size_t entry = e + static_cast<size_t>(std::countr_zero(equal));
      best = best == n || entry % kGroup < best % kGroup ? entry : best;
    }
  }
  return best == n ? 0 : best;
}

}  // namespace

const CodebookSearch kCodebookSearch = {Sum, Highest, BestEntry};

}  // namespace plimsoll::kernels::avx2
