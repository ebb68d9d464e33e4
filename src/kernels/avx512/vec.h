// Sixteen floats in one AVX-512 register: the vector type that kernels/generic/ is written over.
//
// Only sources of this folder include it. Everything has internal linkage, and these sources use no
// inline function with external linkage: the linker could keep a copy made for this instruction set
// and hand it to the whole program (the test `isa_symbols` looks for such symbols).
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace plimsoll::kernels {
namespace {

struct F32x16;

// Sixteen 32-bit integers.
struct I32x16 {
  __m512i v;

  static I32x16 Set(int32_t x) { return {_mm512_set1_epi32(x)}; }
  [[nodiscard]] inline F32x16 ToFloats() const;
};
inline I32x16 operator+(I32x16 a, I32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline int32_t SumOf(I32x16 a) { return _mm512_reduce_add_epi32(a.v); }

// Sixteen pairs of 16-bit integers.
struct I16Pairs {
  __m512i v;

  // p[0] and p[1] in every lane.
  static I16Pairs SetPair(const int16_t* p) {
    int32_t pair = 0;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return {_mm512_set1_epi32(pair)};
  }
  static I16Pairs Set(int16_t x) { return {_mm512_set1_epi16(x)}; }
  // By halves, as StoreI16 writes them: a load waits long for what several stores have written.
  static I16Pairs Load(const int16_t* p) {
    const auto* halves = reinterpret_cast<const __m256i*>(p);
    return {_mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(halves)),
                               _mm256_loadu_si256(halves + 1), 1)};
  }
  // 32 bytes with their signs.
  static I16Pairs LoadI8(const void* p) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  static I16Pairs LoadU8(const void* p) {
    return {_mm512_cvtepu8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  // The low and the high halves of what were bytes.
  [[nodiscard]] I16Pairs LowHalves() const {
    return {_mm512_and_si512(v, _mm512_set1_epi16(0x0F))};
  }
  [[nodiscard]] I16Pairs HighHalves() const { return {_mm512_srli_epi16(v, 4)}; }
};
// Adds the two products of each pair.
inline I32x16 AddProducts(I32x16 sum, I16Pairs a, I16Pairs b) {
  return {_mm512_dpwssd_epi32(sum.v, a.v, b.v)};
}

struct F32x16 {
  using Integers = I32x16;
  using Pairs = I16Pairs;
  // How many vectors of integers a tile of attention has.
  static constexpr size_t kTileIntegers = 8;
  // What a matrix tile counts in: here the whole vector.
  using Register = F32x16;
  static constexpr int kRegisterLanes = 16;
  // How many vectors of accumulators a loop can hold beside its operands.
  static constexpr size_t kAccumulators = 24;
  // How many registers of them a tile of attention has.
  static constexpr size_t kTileRegisters = 16;

  __m512 v;

  static F32x16 Zero() { return {_mm512_setzero_ps()}; }
  static F32x16 Set(float x) { return {_mm512_set1_ps(x)}; }
  static F32x16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // The first n <= 16 lanes; the others are 0 and not read.
  static F32x16 LoadPart(const float* p, size_t n) {
    return {_mm512_maskz_loadu_ps(FirstLanes(n), p)};
  }
  static F32x16 LoadF16(const void* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  static F32x16 LoadF16Part(const void* p, size_t n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(n), p))};
  }
  static F32x16 LoadBF16(const void* p) {
    return {WidenBF16(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  static F32x16 LoadBF16Part(const void* p, size_t n) {
    return {WidenBF16(_mm256_maskz_loadu_epi16(FirstLanes(n), p))};
  }
  static F32x16 LoadI8(const void* p) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
  }
  // The low halves of eight bytes, then their high halves.
  static F32x16 LoadU4(const void* p, size_t /*lane*/) {
    const __m128i pairs = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    const __m128i halves = _mm_unpacklo_epi64(pairs, _mm_srli_epi16(pairs, 4));
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(halves, _mm_set1_epi8(0x0F))))};
  }

  // p[0], p[0], p[1], p[1], ... p[7], p[7].
  static F32x16 LoadTwice(const float* p) {
    const __m512i idx = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return {_mm512_permutexvar_ps(idx, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
  }

  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  void StorePart(float* p, size_t n) const { _mm512_mask_storeu_ps(p, FirstLanes(n), v); }
  void StoreF16(uint16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), NarrowF16(v));
  }
  // The nearest integers, ties to even, which 16 bits have room for.
  void StoreI16(int16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
  }
  void StoreF16Part(uint16_t* p, size_t n) const {
    _mm256_mask_storeu_epi16(p, FirstLanes(n), NarrowF16(v));
  }
  [[nodiscard]] float First() const { return _mm512_cvtss_f32(v); }

  static __mmask16 FirstLanes(size_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

 private:
  static __m512 WidenBF16(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
  static __m256i NarrowF16(__m512 x) {
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
};

inline F32x16 I32x16::ToFloats() const { return {_mm512_cvtepi32_ps(v)}; }

inline void SetRegister(F32x16& a, size_t /*lane*/, F32x16 x) { a = x; }

inline F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32x16 Abs(F32x16 a) { return {_mm512_abs_ps(a.v)}; }
inline F32x16 Negate(F32x16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0F))}; }
inline F32x16 Max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32x16 Min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
// a * b + c and -(a * b) + c, rounded once.
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32x16 NegativeFma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}
// The first n lanes; the others stay c.
inline F32x16 FmaPart(F32x16 a, F32x16 b, F32x16 c, size_t n) {
  return {_mm512_mask3_fmadd_ps(a.v, b.v, c.v, F32x16::FirstLanes(n))};
}
// Even lanes a * b - c, odd lanes a * b + c, rounded once.
inline F32x16 FmaSubtractAdd(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fmaddsub_ps(a.v, b.v, c.v)};
}

// Loads `a` once. Compilers repeat a load as the memory operand of every use, which costs more than
// the register where loads are the bottleneck.
inline void KeepInRegister(F32x16& a) { asm("" : "+v"(a.v)); }

// Lane i is a's if bit i of `bits` is set, otherwise b's.
inline F32x16 Select(uint32_t bits, F32x16 a, F32x16 b) {
  return {_mm512_mask_blend_ps(static_cast<__mmask16>(bits), b.v, a.v)};
}
// b where x < limit, otherwise a.
inline F32x16 ReplaceBelow(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_LT_OQ), a.v, b.v)};
}
// a where x <= limit, otherwise b.
inline F32x16 ReplaceAbove(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_LE_OQ), b.v, a.v)};
}
// Adds the integer in the low bits of `n` to the exponent of `p`.
inline F32x16 AddToExponent(F32x16 p, F32x16 n) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p.v), _mm512_slli_epi32(_mm512_castps_si512(n.v), 23)))};
}

// Lanes 2 i and 2 i + 1 exchanged.
inline F32x16 SwapPairs(F32x16 a) { return {_mm512_permute_ps(a.v, 0xB1)}; }
inline float MaxOf(F32x16 a) {
  __m256 m = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 n = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  n = _mm_max_ps(n, _mm_movehl_ps(n, n));
  return _mm_cvtss_f32(_mm_max_ss(n, _mm_movehdup_ps(n)));
}

// The tree of docs/numerics.md over the stripes of one vector.
inline float TreeSum(F32x16 a) {
  const __m256 t = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 u = _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
  const __m128 w = _mm_add_ps(u, _mm_movehl_ps(u, u));
  return _mm_cvtss_f32(_mm_add_ss(w, _mm_movehdup_ps(w)));
}

// One level of the tree for several vectors at once: of x and y, the halves of 8, then (for pairs
// of such sums) of 4, then of 2, then of 1, are added.
inline __m512 FoldEight(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xEE));
}
inline __m512 FoldFour(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xDD));
}
inline __m512 FoldTwo(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xEE));
}
inline __m512 FoldOne(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x88), _mm512_shuffle_ps(x, y, 0xDD));
}

// Lane i of the result is TreeSum(a[i]). After the four levels, lane 4 j + i comes from the j-th
// vector of the i-th quartet, so quartet i is a[i], a[i + 4], a[i + 8], a[i + 12].
inline F32x16 TreeSums16(const F32x16* a) {
  const auto quartet = [a](int i) __attribute__((always_inline)) {
    return FoldFour(FoldEight(a[i].v, a[i + 4].v), FoldEight(a[i + 8].v, a[i + 12].v));
  };
  return {FoldOne(FoldTwo(quartet(0), quartet(1)), FoldTwo(quartet(2), quartet(3)))};
}

// Stores TreeSum(a[i]) to p[i] for i < n <= 8.
inline void StoreTreeSums8(const F32x16* a, float* p, size_t n) {
  const auto quartet = [a](int i) __attribute__((always_inline)) {
    return FoldFour(FoldEight(a[4 * i].v, a[4 * i + 1].v),
                    FoldEight(a[4 * i + 2].v, a[4 * i + 3].v));
  };
  const __m512 two = FoldTwo(quartet(0), quartet(1));
  const __m512 one = FoldOne(two, two);  // lane 4 j + i: vector j of quartet i, i < 2
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm512_mask_storeu_ps(p, F32x16::FirstLanes(n), _mm512_permutexvar_ps(order, one));
}

}  // namespace
}  // namespace plimsoll::kernels
