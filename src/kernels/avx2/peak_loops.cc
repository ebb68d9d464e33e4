#include "kernels/peak_loops.h"

#include <immintrin.h>

#include "kernels/avx2/avx2.h"

namespace plimsoll::kernels::avx2 {
namespace {

// Eight runs of 8 KiB are read side by side and the next eight asked for meanwhile: one run alone
// does not keep the memory busy.
constexpr size_t kRuns = 8;
constexpr size_t kRunBytes = kPeakReadBytes / kRuns;
constexpr size_t kChains = 12;  // more than latency times throughput

uint64_t Read(const std::byte* data, size_t bytes) {
  __m256i sums[kRuns] = {};
  for (size_t first = 0; first + kPeakReadBytes <= bytes; first += kPeakReadBytes) {
    for (size_t i = first; i < first + kRunBytes; i += 64) {
      for (size_t run = 0; run < kRuns; ++run) {
        const std::byte* at = data + i + run * kRunBytes;
        if (first + kPeakReadBytes < bytes) {
          _mm_prefetch(reinterpret_cast<const char*>(at + kPeakReadBytes), _MM_HINT_T1);
        }
        const auto* halves = reinterpret_cast<const __m256i*>(at);
        sums[run] = _mm256_add_epi64(sums[run], _mm256_load_si256(halves));
        sums[run] = _mm256_add_epi64(sums[run], _mm256_load_si256(halves + 1));
      }
    }
  }
  for (size_t run = 1; run < kRuns; ++run) {
    sums[0] = _mm256_add_epi64(sums[0], sums[run]);
  }
  return static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 0)) +
         static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 1)) +
         static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 2)) +
         static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 3));
}

// One product of bytes to 16 bits and one sum of those to 32 bits: two instructions of the
// multiplier for 32 multiplications.
uint64_t Int8Dots(size_t n) {
  __m256i acc[kChains] = {};
  const __m256i ones = _mm256_set1_epi16(1);
  for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (size_t chain = 0; chain < kChains; ++chain) {
      __m256i a = ones;
      __asm__ volatile("" : "+x"(a));
      const __m256i products = _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), ones);
      acc[chain] = _mm256_add_epi32(acc[chain], products);
      __asm__ volatile("" : "+x"(acc[chain]));
    }
  }
  return uint64_t{32} * kChains * n;
}

uint64_t Fmas(size_t n) {
  __m256 acc[kChains] = {};
  const __m256 a = _mm256_set1_ps(0.5F);
  for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (size_t chain = 0; chain < kChains; ++chain) {
      acc[chain] = _mm256_fmadd_ps(acc[chain], a, a);
      __asm__ volatile("" : "+x"(acc[chain]));
    }
  }
  return uint64_t{8} * kChains * n;
}

}  // namespace

constexpr PeakLoops kPeakLoops = {.read = Read, .int8_dots = Int8Dots, .fmas = Fmas};

}  // namespace plimsoll::kernels::avx2
