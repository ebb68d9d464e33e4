#include "bench/machine_peak.h"

#include <immintrin.h>

namespace plimsoll::bench {
namespace {

// Eight runs of 8 KiB are read side by side and the next eight asked for meanwhile: one run alone
// does not keep the memory busy.
constexpr size_t kRuns = 8;
constexpr size_t kRunBytes = size_t{8} << 10;

void Prefetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p + kRuns * kRunBytes), _MM_HINT_T1);
}

__attribute__((target("avx512f"))) float ReadAll512(const std::byte* data, size_t bytes) {
  __m512i sums[kRuns] = {};
  for (size_t first = 0; first + kRuns * kRunBytes <= bytes; first += kRuns * kRunBytes) {
    for (size_t i = first; i < first + kRunBytes; i += 64) {
      for (size_t run = 0; run < kRuns; ++run) {
        const std::byte* at = data + i + run * kRunBytes;
        Prefetch(at);
        sums[run] = _mm512_add_epi32(sums[run], _mm512_loadu_si512(at));
      }
    }
  }
  for (size_t run = 1; run < kRuns; ++run) {
    sums[0] = _mm512_add_epi32(sums[0], sums[run]);
  }
  return static_cast<float>(sums[0][0]);
}

__attribute__((target("avx2"))) float ReadAll256(const std::byte* data, size_t bytes) {
  __m256i sums[kRuns] = {};
  for (size_t first = 0; first + kRuns * kRunBytes <= bytes; first += kRuns * kRunBytes) {
    for (size_t i = first; i < first + kRunBytes; i += 32) {
      for (size_t run = 0; run < kRuns; ++run) {
        const std::byte* at = data + i + run * kRunBytes;
        Prefetch(at);
        sums[run] =
            _mm256_add_epi32(sums[run], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
      }
    }
  }
  for (size_t run = 1; run < kRuns; ++run) {
    sums[0] = _mm256_add_epi32(sums[0], sums[run]);
  }
  return static_cast<float>(sums[0][0]);
}

constexpr size_t kChains = 12;  // more than latency times throughput

__attribute__((target("avx512f"))) double RunFmas512(size_t n, float* result) {
  __m512 acc[kChains];
  for (size_t c = 0; c < kChains; ++c) {  // different, or the compiler makes them one
    acc[c] = _mm512_set1_ps(*result + static_cast<float>(c));
  }
  const __m512 a = _mm512_set1_ps(*result);
  for (size_t i = 0; i < n; ++i) {
    for (auto& v : acc) {
      v = _mm512_fmadd_ps(v, a, a);
    }
  }
  for (const auto& v : acc) {
    *result += _mm512_cvtss_f32(v);
  }
  return 2.0 * 16 * kChains * static_cast<double>(n);
}

__attribute__((target("avx2,fma"))) double RunFmas256(size_t n, float* result) {
  __m256 acc[kChains];
  for (size_t c = 0; c < kChains; ++c) {
    acc[c] = _mm256_set1_ps(*result + static_cast<float>(c));
  }
  const __m256 a = _mm256_set1_ps(*result);
  for (size_t i = 0; i < n; ++i) {
    for (auto& v : acc) {
      v = _mm256_fmadd_ps(v, a, a);
    }
  }
  for (const auto& v : acc) {
    *result += _mm256_cvtss_f32(v);
  }
  return 2.0 * 8 * kChains * static_cast<double>(n);
}

}  // namespace

float ReadAll(const std::byte* data, size_t bytes) {
  return __builtin_cpu_supports("avx512f") ? ReadAll512(data, bytes) : ReadAll256(data, bytes);
}

double RunFmas(size_t n, float* result) {
  return __builtin_cpu_supports("avx512f") ? RunFmas512(n, result) : RunFmas256(n, result);
}

}  // namespace plimsoll::bench
