// Sixteen bits each from eight rows, for the lanes of every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace plimsoll::kernels {
namespace {

inline uint16_t LoadWord(const std::byte* p) {
  uint16_t x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
// The 16 bits at the start of each of eight rows. One insert after the other: two chains at once
// keep the units busy, and copying through memory waits for the stores.
inline __m128i GatherWords8(const std::byte* p, size_t stride) {
  __m128i words = _mm_cvtsi32_si128(LoadWord(p));
  words = _mm_insert_epi16(words, LoadWord(p + stride), 1);
  words = _mm_insert_epi16(words, LoadWord(p + 2 * stride), 2);
  words = _mm_insert_epi16(words, LoadWord(p + 3 * stride), 3);
  words = _mm_insert_epi16(words, LoadWord(p + 4 * stride), 4);
  words = _mm_insert_epi16(words, LoadWord(p + 5 * stride), 5);
  words = _mm_insert_epi16(words, LoadWord(p + 6 * stride), 6);
  return _mm_insert_epi16(words, LoadWord(p + 7 * stride), 7);
}

}  // namespace
}  // namespace plimsoll::kernels
