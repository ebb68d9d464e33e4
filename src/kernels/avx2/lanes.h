// Eight rows at once in AVX2 registers: the operations that the quantized kernels in
// kernels/generic/ are written in. A lane is a 32-bit column of one row.
//
// Only for sources compiled for AVX2 with FMA and F16C, and nothing here has external linkage: the
// linker must never keep a copy compiled for this instruction set for code that runs on an older
// CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/generic/gather_words.h"

namespace plimsoll::kernels {
namespace {

struct Avx2Lanes {
  using Int = __m256i;
  using Float = __m256;
  static constexpr size_t kLanes = 8;
  // Products are summed in pairs to 16 bits with saturation: full bytes go through absolute values.
  static constexpr bool kUnsignedBytes = false;
  // Row groups and tokens of a prefill tile: 8 integer accumulators of 16 registers.
  static constexpr size_t kTileGroups = 2;
  static constexpr size_t kTileTokens = 4;
  // Sixteen registers, which compilers must be helped to make do with (KeepSum).
  static constexpr bool kFewRegisters = true;

  // A chain is of 16-bit halves, and begins with zero.
  static constexpr bool kChainsSums = false;
  // How many slices of weights up to `max_weight` may pass through Chain before Flush: each adds
  // two products with activations of magnitude at most 127 to a 16-bit sum.
  static constexpr size_t ChainLength(int max_weight) {
    return static_cast<size_t>(32767 / (2 * 127 * max_weight));
  }

  static Int Zero() { return _mm256_setzero_si256(); }
  static Int Set(int32_t x) { return _mm256_set1_epi32(x); }
  // The four bytes at p in every lane.
  static Int Broadcast(const void* p) { return _mm256_set1_epi32(LoadDword(p)); }
  static Int And(Int a, Int b) { return _mm256_and_si256(a, b); }
  static Int Or(Int a, Int b) { return _mm256_or_si256(a, b); }
  // a | (b & mask)
  static Int OrAnd(Int a, Int b, Int mask) { return _mm256_or_si256(a, _mm256_and_si256(b, mask)); }
  // Adds `value` to the bytes of `a` where those of `x` have the only bit set in `bits`.
  static Int AddWhereSet(Int a, Int x, Int bits, int8_t value) {
    const Int set = _mm256_cmpeq_epi8(_mm256_and_si256(x, bits), bits);
    return _mm256_add_epi8(a, _mm256_and_si256(set, _mm256_set1_epi8(value)));
  }
  // zero + magnitude in each byte, or zero - magnitude where those of `x` have the only bit set in
  // `bits`.
  static Int AddSigned(Int zero, Int magnitude, Int x, Int bits) {
    const Int set = _mm256_cmpeq_epi8(_mm256_and_si256(x, bits), bits);
    return _mm256_add_epi8(zero, _mm256_sub_epi8(_mm256_xor_si256(magnitude, set), set));
  }
  // The dword at kBytes times each index; reads four bytes whatever kBytes is.
  template <int kBytes>
  static Int Gather(const void* table, Int index) {
    return _mm256_i32gather_epi32(static_cast<const int*>(table), index, kBytes);
  }
  static Int Xor(Int a, Int b) { return _mm256_xor_si256(a, b); }
  static Int Add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int Sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static Int Mul(Int a, Int b) { return _mm256_mullo_epi32(a, b); }
  static Int Max(Int a, Int b) { return _mm256_max_epi32(a, b); }
  static Int SubBytes(Int a, Int b) { return _mm256_sub_epi8(a, b); }
  // The low bytes of the products of each byte with `factor`.
  static Int MulBytes(Int a, uint8_t factor) {
    const Int factors = _mm256_set1_epi16(factor);
    const Int odd = _mm256_mullo_epi16(_mm256_slli_epi16(_mm256_srli_epi16(a, 8), 8), factors);
    return _mm256_or_si256(
        _mm256_and_si256(_mm256_mullo_epi16(a, factors), _mm256_set1_epi16(0xff)), odd);
  }
  // Each byte but those equal to `byte`, which become 0.
  static Int ZeroWhereEqual(Int a, uint8_t byte) {
    return _mm256_andnot_si256(_mm256_cmpeq_epi8(a, _mm256_set1_epi8(static_cast<char>(byte))), a);
  }
  // Three times each byte, divided by 256 and rounded down.
  static Int LeadingTernaryDigits(Int a) {
    const Int one = _mm256_set1_epi8(1);
    return _mm256_add_epi8(_mm256_min_epu8(_mm256_subs_epu8(a, _mm256_set1_epi8(85)), one),
                           _mm256_min_epu8(_mm256_subs_epu8(a, Set(kTwoThirds)), one));
  }
  // Vector operators, for they take a count that is constant only after inlining.
  static Int ShiftRight(Int a, uint32_t bits) {
    return reinterpret_cast<Int>(reinterpret_cast<Words32>(a) >> bits);
  }
  static Int ShiftLeft(Int a, uint32_t bits) {
    return reinterpret_cast<Int>(reinterpret_cast<Words32>(a) << bits);
  }
  // Of each 16 bits the high byte, with its sign.
  static Int SignedHighBytes(Int a) { return _mm256_srai_epi16(a, 8); }
  static Int ShiftLeftEach(Int a, Int bits) { return _mm256_sllv_epi32(a, bits); }
  // Bytes picked by index within each 16 bytes; an index with its top bit set gives 0.
  static Int ShuffleBytes(Int a, Int index) { return _mm256_shuffle_epi8(a, index); }
  // table[index byte] for index bytes of 0 to 15.
  static Int Lookup(const int8_t* table, Int index) {
    return _mm256_shuffle_epi8(Repeat16(table), index);
  }
  static Int Repeat16(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }

  // Sixteen bytes of each row: a[i] has the rows i and i + 4, so that a transpose inside 16-byte
  // lanes puts the rows in ascending order.
  static void LoadRows(const std::byte* p, size_t stride, Int* a) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const std::byte* row = p + i * stride;
      a[i] =
          _mm256_inserti128_si256(_mm256_castsi128_si256(Load16(row)), Load16(row + 4 * stride), 1);
    }
  }
  // Adds the four dwords that each row has in LoadRows' arrangement: the sum of row r in lane r.
  static Int SumOfRows(const Int* a) {
    const Int rows01 = Add(_mm256_unpacklo_epi32(a[0], a[1]), _mm256_unpackhi_epi32(a[0], a[1]));
    const Int rows23 = Add(_mm256_unpacklo_epi32(a[2], a[3]), _mm256_unpackhi_epi32(a[2], a[3]));
    return Add(_mm256_unpacklo_epi64(rows01, rows23), _mm256_unpackhi_epi64(rows01, rows23));
  }
  // Sixteen bytes of each row, p + r * stride: out[i] has dword i of row r in lane r.
  static void LoadColumns(const std::byte* p, size_t stride, Int* out) {
    Int a[4];
    LoadRows(p, stride, a);
    const Int low01 = _mm256_unpacklo_epi32(a[0], a[1]);
    const Int low23 = _mm256_unpacklo_epi32(a[2], a[3]);
    const Int high01 = _mm256_unpackhi_epi32(a[0], a[1]);
    const Int high23 = _mm256_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm256_unpacklo_epi64(low01, low23);
    out[1] = _mm256_unpackhi_epi64(low01, low23);
    out[2] = _mm256_unpacklo_epi64(high01, high23);
    out[3] = _mm256_unpackhi_epi64(high01, high23);
  }
  // The first dword of each row only; reads sixteen bytes all the same.
  static Int LoadColumn(const std::byte* p, size_t stride) {
    Int a[4];
    LoadRows(p, stride, a);
    return _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(a[0], a[1]),
                                 _mm256_unpacklo_epi32(a[2], a[3]));
  }

  // The F16 at the start of each row.
  static Float GatherHalves(const std::byte* p, size_t stride) {
    return _mm256_cvtph_ps(GatherWords8(p, stride));
  }

  // A lane's worth each, one behind another: dwords, F16s and bytes.
  static Int LoadDwords(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Float LoadHalves(const std::byte* p) { return _mm256_cvtph_ps(Load16(p)); }
  static Int LoadBytes(const std::byte* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }

  // Adds the products of unsigned weights and signed activations, two a 16-bit half lane.
  static Int Chain(Int partial, Int weights, Int activations) {
    return _mm256_add_epi16(partial, _mm256_maddubs_epi16(weights, activations));
  }
  // Signed weights: |w| times the activation with the sign of w. Neither 128 * 127 * 2 nor
  // 127 * 127 * 2 saturates, but nothing more may be added before Flush.
  static Int SignedProduct(Int weights, Int activations) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(activations, weights));
  }
  static Int Magnitudes(Int weights) { return _mm256_abs_epi8(weights); }
  // Bytes of ones where those of `weights` are below zero, and zeros elsewhere.
  static Int NegativeBytes(Int weights) {
    return _mm256_cmpgt_epi8(_mm256_setzero_si256(), weights);
  }
  static Int Flush(Int sum, Int partial) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(partial, _mm256_set1_epi16(1)));
  }
  static Int FlushScaled(Int sum, Int partial, Int scale) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(partial, scale));
  }
  // The scale operand of ScaleInSteps, byte `j` of each lane as two 16-bit halves.
  static Int ScaleFromByte(Int bytes, size_t j, bool is_signed) {
    const auto lane = static_cast<int32_t>(j * 0x00010001);
    const __m128i lanes =
        _mm_setr_epi32(lane, lane + 0x00040004, lane + 0x00080008, lane + 0x000c000c);
    // The byte to the low or to the high half, and zero beside it.
    const Int low =
        _mm256_broadcastsi128_si256(_mm_or_si128(lanes, _mm_set1_epi16(int16_t{-0x8000})));
    const Int high =
        _mm256_broadcastsi128_si256(_mm_or_si128(_mm_slli_epi16(lanes, 8), _mm_set1_epi16(0x80)));
    return is_signed ? _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, high), 8)
                     : _mm256_shuffle_epi8(bytes, low);
  }
  static Int ScaleOfOne() { return Set(0x00010001); }
  // A scale times a 16-bit integer that each lane has twice: the operand of FlushScaled.
  static Int ScaleInSteps(Int scale, Int step) { return _mm256_mullo_epi16(scale, step); }
  // Adds the products of two signed 16-bit integers a lane.
  static Int PairDot(Int sum, Int a, Int b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  }

  static Float ToFloat(Int a) { return _mm256_cvtepi32_ps(a); }
  static Float AsFloat(Int bits) { return _mm256_castsi256_ps(bits); }
  static Float FloatZero() { return _mm256_setzero_ps(); }
  static Float FloatSet(float x) { return _mm256_set1_ps(x); }
  static Float FloatMul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float Fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  // c - a * b, rounded once
  static Float NegativeFma(Float a, Float b, Float c) { return _mm256_fnmadd_ps(a, b, c); }
  static Float LowHalfToFloat(Int a) { return HighHalfToFloat(_mm256_slli_epi32(a, 16)); }
  static Float HighHalfToFloat(Int a) {
    const Int words = _mm256_srli_epi32(a, 16);
    const Int packed = _mm256_packus_epi32(words, words);
    return _mm256_cvtph_ps(
        _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0))));
  }

  // The first n lanes.
  static Float LoadFloats(const float* p, size_t n) {
    return n == kLanes ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, FirstLanes(n));
  }
  static void StoreFloats(float* p, Float a, size_t n) {
    if (n == kLanes) {
      _mm256_storeu_ps(p, a);
    } else {
      _mm256_maskstore_ps(p, FirstLanes(n), a);
    }
  }

 private:
  using Words32 = uint32_t __attribute__((vector_size(32)));
  static constexpr int32_t kTwoThirds = static_cast<int32_t>(0xaaaaaaaa);  // of 256: bytes of 170

  static int32_t LoadDword(const void* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  static Int FirstLanes(size_t n) {
    return _mm256_cmpgt_epi32(Set(static_cast<int32_t>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m128i Load16(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
};

}  // namespace
}  // namespace plimsoll::kernels
