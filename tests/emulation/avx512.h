// AVX-512 for a CPU that has none: the kernels' intrinsics as ordinary code, so that the kernels of
// kernels/avx512/ can be compared with `ref` on any machine (tests/CMakeLists.txt includes this
// before their sources). SIMDe has most of the instructions; those that it lacks, or has only for
// constants where the kernels pass what is constant after inlining, follow here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

namespace plimsoll::emulated {

template <class T, size_t kN>
struct Lanes {
  T v[kN];
};
using Floats = Lanes<float, 16>;
using Ints = Lanes<int32_t, 16>;
using Words = Lanes<int16_t, 32>;
using HalfWords = Lanes<int16_t, 16>;
template <class T>
using Pair = Lanes<T, 2>;

template <class To, class From>
To Cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline bool HasBit(uint64_t mask, size_t i) { return (mask >> i & 1) != 0; }

// f of each half of a register, as AVX2 has it.
template <class To, class Half, class F, class... From>
To InHalves(const F& f, const From&... from) {
  const auto half = [&](size_t i) { return f(Cast<Pair<Half>>(from).v[i]...); };
  return Cast<To>(Pair<decltype(half(0))>{{half(0), half(1)}});
}

template <class Result, class T, size_t kN, class F>
Result EachLane(const Lanes<T, kN>& a, const F& f) {
  Result result;
  for (size_t i = 0; i < kN; ++i) {
    result.v[i] = f(a.v[i]);
  }
  return result;
}

// Conversions.
inline __m256i Narrow(__m512i a) {
  return Cast<__m256i>(
      EachLane<HalfWords>(Cast<Ints>(a), [](int32_t x) { return static_cast<int16_t>(x); }));
}
inline __m512 ToFloats(__m512i a) {
  return Cast<__m512>(
      EachLane<Floats>(Cast<Ints>(a), [](int32_t x) { return static_cast<float>(x); }));
}
template <class From, class To, class Register>
__m512i Widen(Register a) {
  constexpr size_t kN = 64 / sizeof(To);
  return Cast<__m512i>(
      EachLane<Lanes<To, kN>>(Cast<Lanes<From, kN>>(a), [](From x) { return To{x}; }));
}
inline __m512 FromHalves(__m256i a) {
  return Cast<__m512>(Pair<__m256>{{_mm256_cvtph_ps(Cast<Pair<__m128i>>(a).v[0]),
                                    _mm256_cvtph_ps(Cast<Pair<__m128i>>(a).v[1])}});
}
inline __m256i ToHalves(__m512 a) {
  return InHalves<__m256i, __m256>([](__m256 x) { return _mm256_cvtps_ph(x, 0); }, a);
}
inline __m512i Round(__m512 a) {
  return InHalves<__m512i, __m256>([](__m256 x) { return _mm256_cvtps_epi32(x); }, a);
}
inline float First(__m512 a) { return Cast<Floats>(a).v[0]; }

// Arithmetic.
inline __m512 MultiplySubtractAdd(__m512 a, __m512 b, __m512 c) {
  return InHalves<__m512, __m256>(
      [](__m256 x, __m256 y, __m256 z) { return _mm256_fmaddsub_ps(x, y, z); }, a, b, c);
}
inline __m512 MaskedMultiplyAdd(__m512 a, __m512 b, __m512 c, __mmask16 mask) {
  const auto x = Cast<Floats>(a);
  const auto y = Cast<Floats>(b);
  auto z = Cast<Floats>(c);
  for (size_t i = 0; i < 16; ++i) {
    z.v[i] = HasBit(mask, i) ? std::fma(x.v[i], y.v[i], z.v[i]) : z.v[i];
  }
  return Cast<__m512>(z);
}
inline __m512i MultiplyPairs(__m512i a, __m512i b) {
  return InHalves<__m512i, __m256i>([](__m256i x, __m256i y) { return _mm256_madd_epi16(x, y); }, a,
                                    b);
}
inline __m512i ShiftRightSigned(__m512i a, unsigned bits) {
  const unsigned most = bits < 31 ? bits : 31;
  return Cast<__m512i>(EachLane<Ints>(Cast<Ints>(a), [most](int32_t x) { return x >> most; }));
}
// Modulo 2^32 and 2^64.
template <class T, class Unsigned>
T Sum(__m512i a) {
  Unsigned sum = 0;
  for (const T x : Cast<Lanes<T, 64 / sizeof(T)>>(a).v) {
    sum += static_cast<Unsigned>(x);
  }
  return static_cast<T>(sum);
}
inline float Max(__m512 a) {
  const auto lanes = Cast<Floats>(a);
  float max = lanes.v[0];
  for (const float x : lanes.v) {
    max = x > max ? x : max;
  }
  return max;
}
inline __mmask64 UnlikeBytes(__m512i a, __m512i b) {
  const auto x = Cast<Lanes<uint8_t, 64>>(a);
  const auto y = Cast<Lanes<uint8_t, 64>>(b);
  uint64_t mask = 0;
  for (size_t i = 0; i < 64; ++i) {
    mask |= uint64_t{x.v[i] != y.v[i]} << i;
  }
  return mask;
}

// Permutations by a constant.
template <int kOrder>
__m512 PermuteInQuarters(__m512 a) {
  return InHalves<__m512, __m256>([](__m256 x) { return _mm256_permute_ps(x, kOrder); }, a);
}
template <int kOrder>
__m512i ShuffleInQuarters(__m512i a) {
  return InHalves<__m512i, __m256i>([](__m256i x) { return _mm256_shuffle_epi32(x, kOrder); }, a);
}
template <int kOrder>
__m512 ShuffleQuarters(__m512 a, __m512 b) {
  const auto x = Cast<Lanes<__m128, 4>>(a);
  const auto y = Cast<Lanes<__m128, 4>>(b);
  return Cast<__m512>(Lanes<__m128, 4>{
      {x.v[kOrder & 3], x.v[kOrder >> 2 & 3], y.v[kOrder >> 4 & 3], y.v[kOrder >> 6 & 3]}});
}
template <int kHalf>
__m256 HalfOf(__m512 a) {
  return Cast<Pair<__m256>>(a).v[kHalf];
}

// Memory. Lanes that a mask leaves out are not touched.
template <class Register, class T>
Register LoadSome(uint64_t mask, const void* p) {
  constexpr size_t kN = sizeof(Register) / sizeof(T);
  Lanes<T, kN> result = {};
  for (size_t i = 0; i < kN; ++i) {
    if (HasBit(mask, i)) {
      std::memcpy(&result.v[i], static_cast<const std::byte*>(p) + i * sizeof(T), sizeof(T));
    }
  }
  return Cast<Register>(result);
}
template <class T, class Register>
void StoreSome(void* p, uint64_t mask, Register a) {
  constexpr size_t kN = sizeof(Register) / sizeof(T);
  const auto lanes = Cast<Lanes<T, kN>>(a);
  for (size_t i = 0; i < kN; ++i) {
    if (HasBit(mask, i)) {
      std::memcpy(static_cast<std::byte*>(p) + i * sizeof(T), &lanes.v[i], sizeof(T));
    }
  }
}
template <int kScale>
__m512i Gather(__m512i index, const void* table) {
  return Cast<__m512i>(EachLane<Ints>(Cast<Ints>(index), [table](int32_t i) {
    int32_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(table) + int64_t{i} * kScale, sizeof word);
    return word;
  }));
}

}  // namespace plimsoll::emulated

#undef _mm512_cvtps_epi32
#undef _mm512_cvtps_ph
#undef _mm512_extractf32x8_ps
#undef _mm512_i32gather_epi32
#undef _mm512_madd_epi16
#undef _mm512_permute_ps
#undef _mm512_shuffle_epi32
#undef _mm512_shuffle_f32x4
#undef _mm512_srai_epi32
#define _mm256_mask_storeu_epi16 plimsoll::emulated::StoreSome<int16_t, __m256i>
#define _mm256_maskz_loadu_epi16 plimsoll::emulated::LoadSome<__m256i, int16_t>
#define _mm512_cmpneq_epi8_mask plimsoll::emulated::UnlikeBytes
#define _mm512_cvtepi32_epi16 plimsoll::emulated::Narrow
#define _mm512_cvtepi32_ps plimsoll::emulated::ToFloats
#define _mm512_cvtepi8_epi32 plimsoll::emulated::Widen<int8_t, int32_t>
#define _mm512_cvtepu16_epi32 plimsoll::emulated::Widen<uint16_t, int32_t>
#define _mm512_cvtepu8_epi16 plimsoll::emulated::Widen<uint8_t, int16_t>
#define _mm512_cvtepu8_epi32 plimsoll::emulated::Widen<uint8_t, int32_t>
#define _mm512_cvtph_ps plimsoll::emulated::FromHalves
#define _mm512_cvtps_epi32 plimsoll::emulated::Round
#define _mm512_cvtps_ph(a, rounding) plimsoll::emulated::ToHalves(a)
#define _mm512_cvtss_f32 plimsoll::emulated::First
#define _mm512_extractf32x8_ps(a, half) plimsoll::emulated::HalfOf<half>(a)
#define _mm512_fmaddsub_ps plimsoll::emulated::MultiplySubtractAdd
#define _mm512_i32gather_epi32(index, table, scale) plimsoll::emulated::Gather<scale>(index, table)
#define _mm512_madd_epi16 plimsoll::emulated::MultiplyPairs
#define _mm512_mask3_fmadd_ps plimsoll::emulated::MaskedMultiplyAdd
#define _mm512_mask_storeu_ps plimsoll::emulated::StoreSome<float, __m512>
#define _mm512_maskz_loadu_ps plimsoll::emulated::LoadSome<__m512, float>
#define _mm512_permute_ps(a, order) plimsoll::emulated::PermuteInQuarters<order>(a)
#define _mm512_reduce_add_epi32 plimsoll::emulated::Sum<int32_t, uint32_t>
#define _mm512_reduce_add_epi64 plimsoll::emulated::Sum<int64_t, uint64_t>
#define _mm512_reduce_max_ps plimsoll::emulated::Max
#define _mm512_shuffle_epi32(a, order) plimsoll::emulated::ShuffleInQuarters<order>(a)
#define _mm512_shuffle_f32x4(a, b, order) plimsoll::emulated::ShuffleQuarters<order>(a, b)
#define _mm512_srai_epi32 plimsoll::emulated::ShiftRightSigned

// Inlined into one function each, emulated products take many minutes to compile. And a register of
// the emulation is no operand of an empty `asm`, which is there for speed alone.
#define always_inline unused
#define flatten unused
#define asm(...)
