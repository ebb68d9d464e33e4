// Packing activations (docs/numerics.md) in AVX2.
#include <immintrin.h>

#include "kernels/activation.h"
#include "kernels/avx2/quantized.h"
#include "kernels/generic/activation_steps.h"

namespace plimsoll::kernels::avx2 {
namespace {

float MaxOf(__m256 a) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  half = _mm_max_ss(half, _mm_movehdup_ps(half));
  return _mm_cvtss_f32(half);
}

float MaxMagnitude32(const float* x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  __m256 max = _mm256_setzero_ps();
  for (size_t i = 0; i < 32; i += 8) {
    max = _mm256_max_ps(max, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
  }
  return MaxOf(max);
}

// Eight floats as integers. The product with an inverse of 0 rounds to 0.
__m256i Quantize8(const float* x, __m256 inverse) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
}

// 32 floats as bytes at q; sums[0] and sums[1] of sixteen each.
void Quantize32(const float* x, __m256 inverse, int8_t* q, int32_t* sums) {
  const __m256i words01 = _mm256_packs_epi32(Quantize8(x, inverse), Quantize8(x + 8, inverse));
  const __m256i words23 =
      _mm256_packs_epi32(Quantize8(x + 16, inverse), Quantize8(x + 24, inverse));
  // Packing works within 16 bytes; the dwords of the result come from these eighths.
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words01, words23),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), bytes);
  // Sums of eight unsigned bytes, each 128 too large.
  const __m256i eights = _mm256_sad_epu8(
      _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80))), _mm256_setzero_si256());
  const __m256i sixteens = _mm256_add_epi64(eights, _mm256_unpackhi_epi64(eights, eights));
  sums[0] = _mm256_extract_epi32(sixteens, 0) - 16 * 128;
  sums[1] = _mm256_extract_epi32(sixteens, 4) - 16 * 128;
}

void Pack(const float* x, BlockQ8x32* block) {
  const float amax = MaxMagnitude32(x);
  const bool zero = amax < kPackAmaxMin;
  block->d = zero ? 0 : amax / 127;
  int32_t sums[2];
  Quantize32(x, _mm256_set1_ps(zero ? 0 : 127 / amax), block->q, sums);
  block->sums[0] = static_cast<int16_t>(sums[0]);
  block->sums[1] = static_cast<int16_t>(sums[1]);
}

void Pack(const float* x, BlockQ8x256* block) {
  float max[8];
  for (size_t i = 0; i < 8; ++i) {
    max[i] = MaxMagnitude32(x + 32 * i);
  }
  float inverse[8];
  FindSteps(max, MaxOf(_mm256_loadu_ps(max)), block, inverse);
  for (size_t i = 0; i < 8; ++i) {
    int32_t sums[2];
    Quantize32(x + 32 * i, _mm256_set1_ps(inverse[i]), block->q + 32 * i, sums);
    block->sums[2 * i] = static_cast<int16_t>(block->steps[i][0] * sums[0]);
    block->sums[2 * i + 1] = static_cast<int16_t>(block->steps[i][0] * sums[1]);
  }
}

}  // namespace

void PackActivation(ActivationFormat format, const float* x, uint64_t k, std::byte* out) {
  if (format == ActivationFormat::kF32) {
    __builtin_memcpy(out, x, k * sizeof(float));
  } else if (format == ActivationFormat::kQ8x32) {
    for (uint64_t b = 0; b < k / 32; ++b) {
      Pack(x + 32 * b, reinterpret_cast<BlockQ8x32*>(out) + b);
    }
  } else {
    for (uint64_t b = 0; b < k / 256; ++b) {
      Pack(x + 256 * b, reinterpret_cast<BlockQ8x256*>(out) + b);
    }
  }
}

}  // namespace plimsoll::kernels::avx2
