// How many steps each 32 elements of a super-block take (docs/numerics.md, "Packing activations").
#pragma once

#include <immintrin.h>

#include "kernels/activation.h"

namespace plimsoll::kernels {
namespace {

// Writes the block's scale and steps from `amax` and the largest magnitudes of its eight 32s, and
// to `inverse` what the elements of each are multiplied with: 0 where the block packs to zeros.
// Returns the steps, each twice.
inline __m256i FindSteps(const float (&max)[8], float amax, BlockQ8x256* block,
                         float (&inverse)[8]) {
  constexpr float kSteps = BlockQ8x256::kMaxSteps;
  const bool zero = amax < kPackAmaxMin;
  block->d = zero ? 0 : amax / (127 * kSteps);
  const __m256 in_steps = _mm256_set1_ps(zero ? 0 : kSteps / amax);
  __m256 steps = _mm256_ceil_ps(_mm256_mul_ps(_mm256_loadu_ps(max), in_steps));
  steps = _mm256_min_ps(_mm256_max_ps(steps, _mm256_set1_ps(1)), _mm256_set1_ps(kSteps));
  const __m256i whole = _mm256_cvtps_epi32(steps);
  const __m256i twice = _mm256_or_si256(whole, _mm256_slli_epi32(whole, 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block->steps), twice);
  _mm256_storeu_ps(inverse, _mm256_div_ps(_mm256_set1_ps(zero ? 0 : 127 * kSteps / amax), steps));
  return twice;
}

}  // namespace
}  // namespace plimsoll::kernels
