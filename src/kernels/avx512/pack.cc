// Packing activations (docs/numerics.md) in AVX-512.
#include <immintrin.h>

#include "kernels/activation.h"
#include "kernels/avx512/quantized.h"
#include "kernels/generic/activation_steps.h"

namespace plimsoll::kernels::avx512 {
namespace {

float MaxMagnitude32(const float* x) {
  return _mm512_reduce_max_ps(
      _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x)), _mm512_abs_ps(_mm512_loadu_ps(x + 16))));
}

// Sixteen floats as integers. The product with an inverse of 0 rounds to 0.
__m512i Quantize(const float* x, __m512 inverse) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
}

void Store16(int8_t* q, __m512i x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtsepi32_epi8(x));
}

void Pack(const float* x, BlockQ8x32* block) {
  const float amax = MaxMagnitude32(x);
  const bool zero = amax < kPackAmaxMin;
  block->d = zero ? 0 : amax / 127;
  const float inverse = zero ? 0 : 127 / amax;
  const __m512i low = Quantize(x, _mm512_set1_ps(inverse));
  const __m512i high = Quantize(x + 16, _mm512_set1_ps(inverse));
  Store16(block->q, low);
  Store16(block->q + 16, high);
  block->sums[0] = static_cast<int16_t>(_mm512_reduce_add_epi32(low));
  block->sums[1] = static_cast<int16_t>(_mm512_reduce_add_epi32(high));
}

void Pack(const float* x, BlockQ8x256* block) {
  float max[8];
  for (size_t i = 0; i < 8; ++i) {
    max[i] = MaxMagnitude32(x + 32 * i);
  }
  const float amax = _mm512_reduce_max_ps(_mm512_broadcast_f32x8(_mm256_loadu_ps(max)));
  float inverse[8];
  const __m256i steps = FindSteps(max, amax, block, inverse);
  // Four sums of sixteen at a time fill the four dwords of each 16 bytes, one per i.
  __m512i sums = _mm512_setzero_si512();
  for (uint32_t i = 0; i < 4; ++i) {
    for (uint32_t j = 64 * i; j < 64 * i + 64; j += 16) {
      Store16(block->q + j, Quantize(x + j, _mm512_set1_ps(inverse[j / 32])));
    }
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1),
                                      _mm512_loadu_si512(block->q + 64 * i));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_CDAB));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_BADC));
    sums = _mm512_mask_mov_epi32(sums, static_cast<__mmask16>(0x1111U << i), sum);
  }
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(block->sums),
      _mm256_mullo_epi16(steps, _mm512_cvtepi32_epi16(_mm512_permutexvar_epi32(order, sums))));
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

}  // namespace plimsoll::kernels::avx512
