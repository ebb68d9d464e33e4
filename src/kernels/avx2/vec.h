// Sixteen floats in two AVX2 registers: the vector type that kernels/generic/ is written over.
//
// Only sources of this folder include it. Everything has internal linkage, and these sources use no
// inline function with external linkage: the linker could keep a copy made for this instruction set
// and hand it to the whole program (the test `isa_symbols` looks for such symbols).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

namespace plimsoll::kernels {
namespace {

// All ones in the lanes [0, n) of lanes 0-7 (first 0) or 8-15 (first 8).
inline __m256i FirstLanes(size_t n, int first) {
  const __m256i lane =
      _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

// One register, for loops that need all sixteen.
struct F32x8 {
  __m256 v;

  static F32x8 Set(float x) { return {_mm256_set1_ps(x)}; }
  static F32x8 Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static F32x8 LoadF16(const void* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
  }
  static F32x8 LoadBF16(const void* p) {
    const __m128i halves = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
  }
  static F32x8 LoadI8(const void* p) {
    const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))};
  }
  // Of eight bytes the low halves (lane 0), or the high ones (lane 8).
  static F32x8 LoadU4(const void* p, size_t lane) {
    const __m128i pairs = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    const __m128i halves = lane == 0 ? pairs : _mm_srli_epi16(pairs, 4);
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_and_si128(halves, _mm_set1_epi8(0x0F))))};
  }
  void Store(float* p) const { _mm256_storeu_ps(p, v); }
};
// Loads `a` once. Compilers repeat a load as the memory operand of every use, which costs more than
// the register where loads are the bottleneck.
inline void KeepInRegister(F32x8& a) { asm("" : "+x"(a.v)); }
inline F32x8 operator*(F32x8 a, F32x8 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32x8 Fma(F32x8 a, F32x8 b, F32x8 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }

struct F32x16;

// Sixteen 32-bit integers.
struct I32x16 {
  __m256i low;
  __m256i high;

  static I32x16 Set(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  [[nodiscard]] inline F32x16 ToFloats() const;
};
inline I32x16 operator+(I32x16 a, I32x16 b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline int32_t SumOf(I32x16 a) {
  const __m256i eight = _mm256_add_epi32(a.low, a.high);
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

// Sixteen pairs of 16-bit integers.
struct I16Pairs {
  __m256i low;
  __m256i high;

  // p[0] and p[1] in every lane.
  static I16Pairs SetPair(const int16_t* p) {
    int32_t pair = 0;
    std::memcpy(&pair, p, sizeof(pair));
    return {_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
  }
  static I16Pairs Set(int16_t x) { return {_mm256_set1_epi16(x), _mm256_set1_epi16(x)}; }
  static I16Pairs Load(const int16_t* p) {
    const auto* halves = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
  }
  // 32 bytes with their signs.
  static I16Pairs LoadI8(const void* p) {
    const auto* halves = static_cast<const __m128i*>(p);
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(halves)),
            _mm256_cvtepi8_epi16(_mm_loadu_si128(halves + 1))};
  }
  static I16Pairs LoadU8(const void* p) {
    const auto* halves = static_cast<const __m128i*>(p);
    return {_mm256_cvtepu8_epi16(_mm_loadu_si128(halves)),
            _mm256_cvtepu8_epi16(_mm_loadu_si128(halves + 1))};
  }
  // The low and the high halves of what were bytes.
  [[nodiscard]] I16Pairs LowHalves() const {
    const __m256i mask = _mm256_set1_epi16(0x0F);
    return {_mm256_and_si256(low, mask), _mm256_and_si256(high, mask)};
  }
  [[nodiscard]] I16Pairs HighHalves() const {
    return {_mm256_srli_epi16(low, 4), _mm256_srli_epi16(high, 4)};
  }
};
// Adds the two products of each pair.
inline I32x16 AddProducts(I32x16 sum, I16Pairs a, I16Pairs b) {
  return {_mm256_add_epi32(sum.low, _mm256_madd_epi16(a.low, b.low)),
          _mm256_add_epi32(sum.high, _mm256_madd_epi16(a.high, b.high))};
}

struct F32x16 {
  using Integers = I32x16;
  using Pairs = I16Pairs;
  // How many vectors of integers a tile of attention has.
  static constexpr size_t kTileIntegers = 4;
  // What a matrix tile counts in: half a vector.
  using Register = F32x8;
  static constexpr int kRegisterLanes = 8;
  // How many vectors of accumulators a loop has: a part of them waits in the level 1 cache, which
  // costs less than going through a tile of the matrix twice.
  static constexpr size_t kAccumulators = 8;
  // How many registers of them a tile of attention has.
  static constexpr size_t kTileRegisters = 8;

  __m256 low;
  __m256 high;

  static F32x16 Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F32x16 Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F32x16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  // The first n <= 16 lanes; the others are 0 and not read.
  static F32x16 LoadPart(const float* p, size_t n) {
    return {_mm256_maskload_ps(p, FirstLanes(n, 0)), _mm256_maskload_ps(p + 8, FirstLanes(n, 8))};
  }
  static F32x16 LoadF16(const void* p) { return FromF16(Load16(p)); }
  static F32x16 LoadF16Part(const void* p, size_t n) { return FromF16(Load16Part(p, n)); }
  static F32x16 LoadBF16(const void* p) { return FromBF16(Load16(p)); }
  static F32x16 LoadBF16Part(const void* p, size_t n) { return FromBF16(Load16Part(p, n)); }
  static F32x16 LoadI8(const void* p) {
    const auto* bytes = static_cast<const std::byte*>(p);
    return {F32x8::LoadI8(bytes).v, F32x8::LoadI8(bytes + 8).v};
  }
  // The low halves of eight bytes, then their high halves.
  static F32x16 LoadU4(const void* p, size_t /*lane*/) {
    return {F32x8::LoadU4(p, 0).v, F32x8::LoadU4(p, 8).v};
  }

  // p[0], p[0], p[1], p[1], ... p[7], p[7].
  static F32x16 LoadTwice(const float* p) {
    const __m256 all = _mm256_loadu_ps(p);
    return {_mm256_permutevar8x32_ps(all, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
            _mm256_permutevar8x32_ps(all, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
  }

  void Store(float* p) const {
    _mm256_storeu_ps(p, low);
    _mm256_storeu_ps(p + 8, high);
  }
  void StorePart(float* p, size_t n) const {
    _mm256_maskstore_ps(p, FirstLanes(n, 0), low);
    _mm256_maskstore_ps(p + 8, FirstLanes(n, 8), high);
  }
  void StoreF16(uint16_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), NarrowF16(low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), NarrowF16(high));
  }
  // The nearest integers, ties to even, which 16 bits have room for.
  void StoreI16(int16_t* p) const {
    const __m256i quarters = _mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(quarters, 0xD8));
  }
  void StoreF16Part(uint16_t* p, size_t n) const {
    uint16_t all[16];
    StoreF16(all);
    std::memcpy(p, all, n * sizeof(uint16_t));
  }
  [[nodiscard]] float First() const { return _mm256_cvtss_f32(low); }

 private:
  struct Halves {
    __m128i low;
    __m128i high;
  };
  static Halves Load16(const void* p) {
    const auto* halves = static_cast<const __m128i*>(p);
    return {_mm_loadu_si128(halves), _mm_loadu_si128(halves + 1)};
  }
  static Halves Load16Part(const void* p, size_t n) {
    uint16_t all[16] = {};
    std::memcpy(all, p, n * sizeof(uint16_t));
    return Load16(all);
  }
  static F32x16 FromF16(Halves x) { return {_mm256_cvtph_ps(x.low), _mm256_cvtph_ps(x.high)}; }
  static F32x16 FromBF16(Halves x) { return {WidenBF16(x.low), WidenBF16(x.high)}; }
  static __m256 WidenBF16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  static __m128i NarrowF16(__m256 x) {
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
};

inline F32x16 I32x16::ToFloats() const {
  return {_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)};
}

// Lanes 0-7 (lane 0) or 8-15 (lane 8) of a.
inline void SetRegister(F32x16& a, size_t lane, F32x8 x) { (lane == 0 ? a.low : a.high) = x.v; }

inline F32x16 operator+(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline F32x16 operator-(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline F32x16 operator*(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline F32x16 operator/(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline F32x16 Abs(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
inline F32x16 Negate(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}
inline F32x16 Max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline F32x16 Min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
// a * b + c and -(a * b) + c, rounded once.
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline F32x16 NegativeFma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}
// The first n lanes; the others stay c.
inline F32x16 FmaPart(F32x16 a, F32x16 b, F32x16 c, size_t n) {
  const F32x16 all = Fma(a, b, c);
  return {_mm256_blendv_ps(c.low, all.low, _mm256_castsi256_ps(FirstLanes(n, 0))),
          _mm256_blendv_ps(c.high, all.high, _mm256_castsi256_ps(FirstLanes(n, 8)))};
}
// Even lanes a * b - c, odd lanes a * b + c, rounded once.
inline F32x16 FmaSubtractAdd(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmaddsub_ps(a.low, b.low, c.low), _mm256_fmaddsub_ps(a.high, b.high, c.high)};
}

// All ones in lane i if bit first + i is set.
inline __m256 LanesOfBits(uint32_t bits, int first) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i all = _mm256_set1_epi32(static_cast<int>(bits >> first));
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, bit), bit));
}
// Lane i is a's if bit i of `bits` is set, otherwise b's.
inline F32x16 Select(uint32_t bits, F32x16 a, F32x16 b) {
  return {_mm256_blendv_ps(b.low, a.low, LanesOfBits(bits, 0)),
          _mm256_blendv_ps(b.high, a.high, LanesOfBits(bits, 8))};
}
// b where x < limit, otherwise a.
inline F32x16 ReplaceBelow(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm256_blendv_ps(a.low, b.low, _mm256_cmp_ps(x.low, limit.low, _CMP_LT_OQ)),
          _mm256_blendv_ps(a.high, b.high, _mm256_cmp_ps(x.high, limit.high, _CMP_LT_OQ))};
}
// a where x <= limit, otherwise b.
inline F32x16 ReplaceAbove(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm256_blendv_ps(b.low, a.low, _mm256_cmp_ps(x.low, limit.low, _CMP_LE_OQ)),
          _mm256_blendv_ps(b.high, a.high, _mm256_cmp_ps(x.high, limit.high, _CMP_LE_OQ))};
}
// Adds the integer in the low bits of `n` to the exponent of `p`.
inline __m256 AddToExponent(__m256 p, __m256 n) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
}
inline F32x16 AddToExponent(F32x16 p, F32x16 n) {
  return {AddToExponent(p.low, n.low), AddToExponent(p.high, n.high)};
}

// Lanes 2 i and 2 i + 1 exchanged.
inline F32x16 SwapPairs(F32x16 a) {
  return {_mm256_permute_ps(a.low, 0xB1), _mm256_permute_ps(a.high, 0xB1)};
}
inline float MaxOf(F32x16 a) {
  const __m256 m = _mm256_max_ps(a.low, a.high);
  __m128 n = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  n = _mm_max_ps(n, _mm_movehl_ps(n, n));
  return _mm_cvtss_f32(_mm_max_ss(n, _mm_movehdup_ps(n)));
}

// The tree of docs/numerics.md over the stripes of one vector.
inline float TreeSum(F32x16 a) {
  const __m256 t = _mm256_add_ps(a.low, a.high);
  const __m128 u = _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
  const __m128 w = _mm_add_ps(u, _mm_movehl_ps(u, u));
  return _mm_cvtss_f32(_mm_add_ss(w, _mm_movehdup_ps(w)));
}

// One level of the tree for several vectors at once: the halves of 8 of one vector; of the sums for
// two vectors the halves of 4, then of 2, then of 1.
inline __m256 FoldEight(F32x16 x) { return _mm256_add_ps(x.low, x.high); }
inline __m256 FoldFour(__m256 x, __m256 y) {
  return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
inline __m256 FoldTwo(__m256 x, __m256 y) {
  return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xEE));
}
inline __m256 FoldOne(__m256 x, __m256 y) {
  return _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x88), _mm256_shuffle_ps(x, y, 0xDD));
}

// Lane i is TreeSum(a[i]), i < 8. After the levels, lane 4 j + i comes from the j-th vector of the
// i-th pair, so pair i is a[i], a[i + 4].
inline __m256 TreeSums8(const F32x16* a) {
  const auto pair = [a](int i) __attribute__((always_inline)) {
    return FoldFour(FoldEight(a[i]), FoldEight(a[i + 4]));
  };
  return FoldOne(FoldTwo(pair(0), pair(1)), FoldTwo(pair(2), pair(3)));
}

// Lane i of the result is TreeSum(a[i]).
inline F32x16 TreeSums16(const F32x16* a) { return {TreeSums8(a), TreeSums8(a + 8)}; }

// Stores TreeSum(a[i]) to p[i] for i < n <= 8.
inline void StoreTreeSums8(const F32x16* a, float* p, size_t n) {
  _mm256_maskstore_ps(p, FirstLanes(n, 0), TreeSums8(a));
}

}  // namespace
}  // namespace plimsoll::kernels
