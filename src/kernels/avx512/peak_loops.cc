#include "kernels/peak_loops.h"

#include <immintrin.h>

#include "kernels/avx512/avx512.h"

namespace plimsoll::kernels::avx512 {
namespace {

// Eight runs of 8 KiB are read side by side and the next eight asked for meanwhile: one run alone
// does not keep the memory busy.
constexpr size_t kRuns = 8;
constexpr size_t kRunBytes = kPeakReadBytes / kRuns;
constexpr size_t kChains = 12;  // more than latency times throughput

uint64_t Read(const std::byte* data, size_t bytes) {
  __m512i sums[kRuns] = {};
  for (size_t first = 0; first + kPeakReadBytes <= bytes; first += kPeakReadBytes) {
    for (size_t i = first; i < first + kRunBytes; i += 64) {
      for (size_t run = 0; run < kRuns; ++run) {
        const std::byte* at = data + i + run * kRunBytes;
        if (first + kPeakReadBytes < bytes) {
          _mm_prefetch(reinterpret_cast<const char*>(at + kPeakReadBytes), _MM_HINT_T1);
        }
        sums[run] = _mm512_add_epi64(sums[run], _mm512_load_si512(at));
      }
    }
  }
  for (size_t run = 1; run < kRuns; ++run) {
    sums[0] = _mm512_add_epi64(sums[0], sums[run]);
  }
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sums[0]));
}

uint64_t Int8Dots(size_t n) {
  __m512i acc[kChains] = {};
  const __m512i ones = _mm512_set1_epi8(1);
  for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (size_t chain = 0; chain < kChains; ++chain) {
      acc[chain] = _mm512_dpbusd_epi32(acc[chain], ones, ones);
      __asm__ volatile("" : "+v"(acc[chain]));  // or the compiler folds the sum
    }
  }
  return uint64_t{64} * kChains * n;
}

uint64_t Fmas(size_t n) {
  __m512 acc[kChains] = {};
  const __m512 a = _mm512_set1_ps(0.5F);
  for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (size_t chain = 0; chain < kChains; ++chain) {
      acc[chain] = _mm512_fmadd_ps(acc[chain], a, a);
      __asm__ volatile("" : "+v"(acc[chain]));
    }
  }
  return uint64_t{16} * kChains * n;
}

}  // namespace

constexpr PeakLoops kPeakLoops = {.read = Read, .int8_dots = Int8Dots, .fmas = Fmas};

}  // namespace plimsoll::kernels::avx512
