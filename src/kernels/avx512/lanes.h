// Sixteen rows at once in AVX-512 registers: the operations that the quantized kernels in
// kernels/generic/ are written in. A lane is a 32-bit column of one row.
//
// Only for sources compiled for AVX-512 with VNNI, and nothing here has external linkage: the
// linker must never keep a copy compiled for this instruction set for code that runs on an older
// CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/generic/gather_words.h"

namespace plimsoll::kernels {
namespace {

struct Avx512Lanes {
  using Int = __m512i;
  using Float = __m512;
  static constexpr size_t kLanes = 16;
  // The dot instruction multiplies any unsigned byte by any signed one without saturating.
  static constexpr bool kUnsignedBytes = true;
  // Row groups and tokens of a prefill tile: 12 integer and 12 float accumulators of 32 registers.
  static constexpr size_t kTileGroups = 2;
  static constexpr size_t kTileTokens = 6;
  static constexpr bool kFewRegisters = false;

  // A chain can begin with any sum: each link adds whole products.
  static constexpr bool kChainsSums = true;
  // How many slices of weights up to `max_weight` may pass through Chain before Flush.
  static constexpr size_t ChainLength(int /*max_weight*/) { return 64; }

  static Int Zero() { return _mm512_setzero_si512(); }
  static Int Set(int32_t x) { return _mm512_set1_epi32(x); }
  // The four bytes at p in every lane.
  static Int Broadcast(const void* p) { return _mm512_set1_epi32(LoadDword(p)); }
  static Int And(Int a, Int b) { return _mm512_and_si512(a, b); }
  static Int Or(Int a, Int b) { return _mm512_or_si512(a, b); }
  // a | (b & mask)
  static Int OrAnd(Int a, Int b, Int mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xf8); }
  // Adds `value` to the bytes of `a` where those of `x` have the only bit set in `bits`.
  static Int AddWhereSet(Int a, Int x, Int bits, int8_t value) {
    return _mm512_mask_add_epi8(a, _mm512_test_epi8_mask(x, bits), a, _mm512_set1_epi8(value));
  }
  // zero + magnitude in each byte, or zero - magnitude where those of `x` have the only bit set in
  // `bits`.
  static Int AddSigned(Int zero, Int magnitude, Int x, Int bits) {
    return _mm512_mask_sub_epi8(_mm512_add_epi8(zero, magnitude), _mm512_test_epi8_mask(x, bits),
                                zero, magnitude);
  }
  // The dword at kBytes times each index; reads four bytes whatever kBytes is.
  template <int kBytes>
  static Int Gather(const void* table, Int index) {
    return _mm512_i32gather_epi32(index, table, kBytes);
  }
  static Int Xor(Int a, Int b) { return _mm512_xor_si512(a, b); }
  static Int Add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int Sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Int Mul(Int a, Int b) { return _mm512_mullo_epi32(a, b); }
  static Int Max(Int a, Int b) { return _mm512_max_epi32(a, b); }
  static Int SubBytes(Int a, Int b) { return _mm512_sub_epi8(a, b); }
  // The low bytes of the products of each byte with `factor`.
  static Int MulBytes(Int a, uint8_t factor) {
    const Int factors = _mm512_set1_epi16(factor);
    const Int odd = _mm512_mullo_epi16(_mm512_slli_epi16(_mm512_srli_epi16(a, 8), 8), factors);
    return _mm512_mask_blend_epi8(0x5555555555555555, odd, _mm512_mullo_epi16(a, factors));
  }
  // Each byte but those equal to `byte`, which become 0.
  static Int ZeroWhereEqual(Int a, uint8_t byte) {
    const __m512i same = _mm512_set1_epi8(static_cast<char>(byte));
    return _mm512_maskz_mov_epi8(_mm512_cmpneq_epi8_mask(a, same), a);
  }
  // Three times each byte, divided by 256 and rounded down.
  static Int LeadingTernaryDigits(Int a) {
    const Int one = _mm512_set1_epi8(1);
    return _mm512_add_epi8(_mm512_min_epu8(_mm512_subs_epu8(a, _mm512_set1_epi8(85)), one),
                           _mm512_min_epu8(_mm512_subs_epu8(a, Set(kTwoThirds)), one));
  }
  // Vector operators, for they take a count that is constant only after inlining.
  static Int ShiftRight(Int a, uint32_t bits) {
    return reinterpret_cast<Int>(reinterpret_cast<Words32>(a) >> bits);
  }
  static Int ShiftLeft(Int a, uint32_t bits) {
    return reinterpret_cast<Int>(reinterpret_cast<Words32>(a) << bits);
  }
  // Of each 16 bits the high byte, with its sign.
  static Int SignedHighBytes(Int a) { return _mm512_srai_epi16(a, 8); }
  static Int ShiftLeftEach(Int a, Int bits) { return _mm512_sllv_epi32(a, bits); }
  // Bytes picked by index within each 16 bytes; an index with its top bit set gives 0.
  static Int ShuffleBytes(Int a, Int index) { return _mm512_shuffle_epi8(a, index); }
  // table[index byte] for index bytes of 0 to 15.
  static Int Lookup(const int8_t* table, Int index) {
    return _mm512_shuffle_epi8(Repeat16(table), index);
  }
  static Int Repeat16(const void* p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }

  // Sixteen bytes of each row: a[i] has the rows i, i + 4, i + 8 and i + 12, so that a transpose
  // inside 16-byte lanes puts the rows in ascending order.
  static void LoadRows(const std::byte* p, size_t stride, Int* a) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const std::byte* row = p + i * stride;
      const __m256i low =
          _mm256_inserti128_si256(_mm256_castsi128_si256(Load16(row)), Load16(row + 4 * stride), 1);
      const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(Load16(row + 8 * stride)),
                                                   Load16(row + 12 * stride), 1);
      a[i] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
  }
  // Adds the four dwords that each row has in LoadRows' arrangement: the sum of row r in lane r.
  static Int SumOfRows(const Int* a) {
    const Int rows01 = Add(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    const Int rows23 = Add(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    return Add(_mm512_unpacklo_epi64(rows01, rows23), _mm512_unpackhi_epi64(rows01, rows23));
  }
  // Sixteen bytes of each row, p + r * stride: out[i] has dword i of row r in lane r.
  static void LoadColumns(const std::byte* p, size_t stride, Int* out) {
    Int a[4];
    LoadRows(p, stride, a);
    const Int low01 = _mm512_unpacklo_epi32(a[0], a[1]);
    const Int low23 = _mm512_unpacklo_epi32(a[2], a[3]);
    const Int high01 = _mm512_unpackhi_epi32(a[0], a[1]);
    const Int high23 = _mm512_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
  }
  // The first dword of each row only; reads sixteen bytes all the same.
  static Int LoadColumn(const std::byte* p, size_t stride) {
    Int a[4];
    LoadRows(p, stride, a);
    return _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(a[0], a[1]),
                                 _mm512_unpacklo_epi32(a[2], a[3]));
  }

  // The F16 at the start of each row.
  static Float GatherHalves(const std::byte* p, size_t stride) {
    return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(GatherWords8(p, stride)),
                                                   GatherWords8(p + 8 * stride, stride), 1));
  }

  // A lane's worth each, one behind another: dwords, F16s and bytes.
  static Int LoadDwords(const std::byte* p) { return _mm512_loadu_si512(p); }
  static Float LoadHalves(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Int LoadBytes(const std::byte* p) { return _mm512_cvtepu8_epi32(Load16(p)); }

  // Adds the products of unsigned weights and signed activations, four a lane.
  static Int Chain(Int partial, Int weights, Int activations) {
    return _mm512_dpbusd_epi32(partial, weights, activations);
  }
  static Int Flush(Int sum, Int partial) { return _mm512_add_epi32(sum, partial); }
  static Int FlushScaled(Int sum, Int partial, Int scale) {
    return _mm512_add_epi32(sum, _mm512_mullo_epi32(partial, scale));
  }
  // The scale operand of ScaleInSteps from byte `j` of each lane: a 16-bit integer and zero.
  static Int ScaleFromByte(Int bytes, size_t j, bool is_signed) {
    const Int top = ShiftLeft(bytes, static_cast<uint32_t>(24 - 8 * j));
    return is_signed ? _mm512_maskz_mov_epi16(0x55555555, _mm512_srai_epi32(top, 24))
                     : _mm512_srli_epi32(top, 24);
  }
  static Int ScaleOfOne() { return Set(1); }
  // A scale times a 16-bit integer that each lane has twice: the operand of FlushScaled.
  static Int ScaleInSteps(Int scale, Int step) { return _mm512_madd_epi16(scale, step); }
  // Adds the products of two signed 16-bit integers a lane.
  static Int PairDot(Int sum, Int a, Int b) { return _mm512_dpwssd_epi32(sum, a, b); }

  static Float ToFloat(Int a) { return _mm512_cvtepi32_ps(a); }
  static Float AsFloat(Int bits) { return _mm512_castsi512_ps(bits); }
  static Float FloatZero() { return _mm512_setzero_ps(); }
  static Float FloatSet(float x) { return _mm512_set1_ps(x); }
  static Float FloatMul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float Fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  // c - a * b, rounded once
  static Float NegativeFma(Float a, Float b, Float c) { return _mm512_fnmadd_ps(a, b, c); }
  static Float LowHalfToFloat(Int a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
  static Float HighHalfToFloat(Int a) { return LowHalfToFloat(_mm512_srli_epi32(a, 16)); }

  // The first n lanes.
  static Float LoadFloats(const float* p, size_t n) {
    return n == kLanes ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(FirstLanes(n), p);
  }
  static void StoreFloats(float* p, Float a, size_t n) {
    if (n == kLanes) {
      _mm512_storeu_ps(p, a);
    } else {
      _mm512_mask_storeu_ps(p, FirstLanes(n), a);
    }
  }

 private:
  using Words32 = uint32_t __attribute__((vector_size(64)));
  static constexpr int32_t kTwoThirds = static_cast<int32_t>(0xaaaaaaaa);  // of 256: bytes of 170

  static int32_t LoadDword(const void* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  static __mmask16 FirstLanes(size_t n) { return static_cast<__mmask16>((1U << n) - 1); }
  static __m128i Load16(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
};

}  // namespace
}  // namespace plimsoll::kernels
