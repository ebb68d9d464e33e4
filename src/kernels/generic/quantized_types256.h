// The types whose super-blocks hold 256 weights, unpacked for as many rows at once as V has lanes.
//
// A super-block is four chunks of sixteen slices (slices: quantized_types32.h), a chunk holds whole
// sub-blocks, 32 or 16 elements of one scale, one behind another: sub-block SubBlock(chunk, g) is
// the slices from g * kSub / 4. Facts of the packing from ggml's ggml-common.h and ggml-quants.c.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/quantized_types32.h"
#include "tensor/blocks.h"

namespace plimsoll::kernels {
namespace {

inline constexpr size_t kChunks = 4;
inline constexpr size_t kSlicesPerChunk = 16;

// What a super-block holds beside its weights. Byte j of lane r of bytes i belongs to sub-block
// 4 i + j of row r.
template <class V, size_t kSubBlocks>
struct SuperHeader {
  typename V::Float d;
  typename V::Float dmin;  // types with a minimum only
  typename V::Int scales[kSubBlocks / 4];
  typename V::Int minima[kSubBlocks / 4];  // types with a minimum only
};

// The same as the arithmetic wants it, for a panel that many tokens meet.
template <class V, size_t kSubBlocks>
struct ExpandedHeader {
  typename V::Float d;
  typename V::Float dmin;
  typename V::Int scales[kSubBlocks];  // operands of V::ScaleInSteps
  // 16-bit minima of sub-blocks 2 i and 2 i + 1; for types with a zero point their scales, which
  // meet the same sums of activations.
  typename V::Int pairs[kSubBlocks / 2];
};

template <size_t kSubElements>
struct SubBlocks;
template <>
struct SubBlocks<32> {
  static constexpr size_t kSub = 32;
  static constexpr size_t kCount = 8;
  static constexpr size_t SubBlock(size_t chunk, size_t g) { return 2 * chunk + g; }
};
// In Q2_K, Q3_K and Q6_K a chunk is every second sixteen of half a super-block.
template <>
struct SubBlocks<16> {
  static constexpr size_t kSub = 16;
  static constexpr size_t kCount = 16;
  static constexpr size_t SubBlock(size_t chunk, size_t g) {
    return 8 * (chunk / 2) + 2 * g + chunk % 2;
  }
};

// Types may ask for software prefetch of rows16 too (kPrefetchStream): where the arithmetic takes
// as long as the memory, the processor's own comes too late. Sets of eight lanes meet both halves
// of sixteen rows together where that is faster (kHalvesTogether): in the other types what a half
// wants fills the registers.

// Four bytes a lane to two pairs of 16-bit integers a lane.
template <class V, bool kSigned>
[[gnu::always_inline]] inline void BytesToPairs(typename V::Int bytes, typename V::Int* pairs) {
  // The low bytes of the pairs are unpacked for unsigned ones, the high ones for signed ones.
  static constexpr uint8_t kHigh[2][16] = {
      {0x80, 0, 0x80, 1, 0x80, 4, 0x80, 5, 0x80, 8, 0x80, 9, 0x80, 12, 0x80, 13},
      {0x80, 2, 0x80, 3, 0x80, 6, 0x80, 7, 0x80, 10, 0x80, 11, 0x80, 14, 0x80, 15}};
  static constexpr uint8_t kLow[2][16] = {
      {0, 0x80, 1, 0x80, 4, 0x80, 5, 0x80, 8, 0x80, 9, 0x80, 12, 0x80, 13, 0x80},
      {2, 0x80, 3, 0x80, 6, 0x80, 7, 0x80, 10, 0x80, 11, 0x80, 14, 0x80, 15, 0x80}};
#pragma GCC unroll 2
  for (size_t i = 0; i < 2; ++i) {
    pairs[i] = kSigned ? V::SignedHighBytes(V::ShuffleBytes(bytes, V::Repeat16(kHigh[i])))
                       : V::ShuffleBytes(bytes, V::Repeat16(kLow[i]));
  }
}

template <class V, class Type>
[[gnu::always_inline]] inline void ExpandPairs(const SuperHeader<V, Type::kCount>& header,
                                               typename V::Int* pairs) {
#pragma GCC unroll 4
  for (size_t i = 0; i < Type::kCount / 4; ++i) {
    if constexpr (requires { Type::kScalesAreOne; }) {
      pairs[2 * i] = V::Set(0x00010001);
      pairs[2 * i + 1] = V::Set(0x00010001);
    } else if constexpr (Type::kHasMin) {
      BytesToPairs<V, false>(header.minima[i], pairs + 2 * i);
    } else {
      BytesToPairs<V, Type::kSignedScales>(header.scales[i], pairs + 2 * i);
    }
  }
}

// The operand of V::ScaleInSteps for a sub-block.
template <class V, class Type>
[[gnu::always_inline]] inline typename V::Int ScaleOf(const SuperHeader<V, Type::kCount>& header,
                                                      size_t sub) {
  if constexpr (requires { Type::kScalesAreOne; }) {
    return V::ScaleOfOne();
  } else {
    return V::ScaleFromByte(header.scales[sub / 4], sub % 4, Type::kSignedScales);
  }
}

template <class V, class Type>
void Expand(const SuperHeader<V, Type::kCount>& header, ExpandedHeader<V, Type::kCount>* expanded) {
  expanded->d = header.d;
  if constexpr (Type::kHasMin) {
    expanded->dmin = header.dmin;
  }
#pragma GCC unroll 16
  for (size_t sub = 0; sub < Type::kCount; ++sub) {
    expanded->scales[sub] = ScaleOf<V, Type>(header, sub);
  }
  ExpandPairs<V, Type>(header, expanded->pairs);
}

// What all chunks of a super-block read, for types where they do.
template <class V>
struct NothingShared {
  template <class Rows>
  explicit NothingShared(const Rows& /*rows*/) {}
};
// 32 bytes of bits from kOffset on.
template <class V, size_t kOffset>
struct SharedBits {
  typename V::Int bits[8];
  template <class Rows>
  explicit SharedBits(const Rows& rows) {
    rows.Columns(kOffset, bits);
    rows.Columns(kOffset + 16, bits + 4);
  }
};

// The header that Q4_K and Q5_K share: d, dmin, and 6-bit scales and minima in twelve bytes.
template <class V, class Rows>
void ReadHeader4K(const Rows& rows, SuperHeader<V, 8>* h) {
  using Int = typename V::Int;
  Int column[4];
  rows.Columns(0, column);
  h->d = V::LowHalfToFloat(column[0]);
  h->dmin = V::HighHalfToFloat(column[0]);
  const Int six = V::Set(0x3f3f3f3f);
  const Int four = V::Set(kLowNibbles);
  const Int top_two = V::Set(0x30303030);
  h->scales[0] = V::And(column[1], six);
  h->scales[1] = V::OrAnd(V::And(column[3], four), V::ShiftRight(column[1], 2), top_two);
  h->minima[0] = V::And(column[2], six);
  h->minima[1] =
      V::OrAnd(V::And(V::ShiftRight(column[3], 4), four), V::ShiftRight(column[2], 2), top_two);
}

template <class V>
struct LanesQ4_K : SubBlocks<32>, UnsignedWeights<0, 15> {
  using Block = tensor::BlockQ4_K;
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kKeepsSums = true;
  static constexpr bool kHalvesTogether = true;
  using Shared = NothingShared<V>;
  static constexpr bool kSignedScales = false;
  static constexpr bool kHasMin = true;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    ReadHeader4K<V>(rows, h);
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    UnpackNibbles(rows, offsetof(Block, qs) + 32 * chunk, w);
  }
  // Of a chunk, whose 32 bytes begin at `qs`.
  template <class Rows>
  static void UnpackNibbles(const Rows& rows, size_t qs, typename V::Int* w) {
    typename V::Int packed[8];
    rows.Columns(qs, packed);
    rows.Columns(qs + 16, packed + 4);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      w[i] = V::And(packed[i], V::Set(kLowNibbles));
      w[8 + i] = V::And(V::ShiftRight(packed[i], 4), V::Set(kLowNibbles));
    }
  }
};

template <class V>
struct LanesQ5_K : SubBlocks<32>, UnsignedWeights<0, 31> {
  using Block = tensor::BlockQ5_K;
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kKeepsSums = true;
  using Shared = SharedBits<V, offsetof(Block, qh)>;
  static constexpr bool kSignedScales = false;
  static constexpr bool kHasMin = true;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    ReadHeader4K<V>(rows, h);
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
    LanesQ4_K<V>::UnpackNibbles(rows, offsetof(Block, qs) + 32 * chunk, w);
    // Bit 2 * chunk of byte l is the fifth bit of element l of the chunk, the next one of l + 32.
    const typename V::Int fifth = V::Set(0x10101010);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      const typename V::Int pair = V::ShiftRight(shared.bits[i], static_cast<uint32_t>(2 * chunk));
      w[i] = V::OrAnd(w[i], V::ShiftLeft(pair, 4), fifth);
      w[8 + i] = V::OrAnd(w[8 + i], V::ShiftLeft(pair, 3), fifth);
    }
  }
};

template <class V>
struct LanesQ6_K : SubBlocks<16>, UnsignedWeights<32, 63> {
  using Block = tensor::BlockQ6_K;
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kHalvesTogether = true;
  using Shared = NothingShared<V>;
  static constexpr bool kSignedScales = true;
  static constexpr bool kHasMin = false;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    typename V::Int column[4];
    rows.Columns(offsetof(Block, scales), column);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      h->scales[i] = column[i];
    }
    h->d = rows.Halves(offsetof(Block, d));
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    const size_t half = chunk / 2;
    const size_t odd = chunk % 2;
    const size_t ql = offsetof(Block, ql) + 64 * half + 16 * odd;
    const size_t qh = offsetof(Block, qh) + 32 * half + 16 * odd;
    const typename V::Int low = V::Set(kLowNibbles);
    const typename V::Int high = V::Set(0x30303030);
    typename V::Int first[4];
    typename V::Int second[4];
    typename V::Int bits[4];
    rows.Columns(ql, first);
    rows.Columns(ql + 32, second);
    rows.Columns(qh, bits);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      w[i] = V::OrAnd(V::And(first[i], low), V::ShiftLeft(bits[i], 4), high);
      w[4 + i] = V::OrAnd(V::And(second[i], low), V::ShiftLeft(bits[i], 2), high);
      w[8 + i] = V::OrAnd(V::And(V::ShiftRight(first[i], 4), low), bits[i], high);
      w[12 + i] =
          V::OrAnd(V::And(V::ShiftRight(second[i], 4), low), V::ShiftRight(bits[i], 2), high);
    }
  }
};

// The two low bits of a chunk's elements in Q2_K and Q3_K.
template <class V, class Rows>
void LoadTwoBits(const Rows& rows, size_t qs, size_t chunk, typename V::Int* w) {
  typename V::Int packed[4];
  rows.Columns(qs + 32 * (chunk / 2) + 16 * (chunk % 2), packed);
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; ++g) {
      w[4 * g + i] =
          V::And(V::ShiftRight(packed[i], static_cast<uint32_t>(2 * g)), V::Set(0x03030303));
    }
  }
}

template <class V>
struct LanesQ2_K : SubBlocks<16>, UnsignedWeights<0, 3> {
  using Block = tensor::BlockQ2_K;
  static constexpr bool kPrefetchStream = true;
  using Shared = NothingShared<V>;
  static constexpr bool kSignedScales = false;
  static constexpr bool kHasMin = true;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    typename V::Int column[4];
    rows.Columns(offsetof(Block, scales), column);
    const typename V::Int low = V::Set(kLowNibbles);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      h->scales[i] = V::And(column[i], low);
      h->minima[i] = V::And(V::ShiftRight(column[i], 4), low);
    }
    const typename V::Int d = rows.Column(offsetof(Block, d));
    h->d = V::LowHalfToFloat(d);
    h->dmin = V::HighHalfToFloat(d);
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    LoadTwoBits<V>(rows, offsetof(Block, qs), chunk, w);
  }
};

template <class V>
struct LanesQ3_K : SubBlocks<16>, UnsignedWeights<4, 7> {
  using Block = tensor::BlockQ3_K;
  static constexpr bool kPrefetchStream = true;
  using Shared = SharedBits<V, offsetof(Block, hmask)>;
  static constexpr bool kSignedScales = true;
  static constexpr bool kHasMin = false;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    typename V::Int column[4];  // the last one is not of the scales
    rows.Columns(offsetof(Block, scales), column);
    h->d = rows.Halves(offsetof(Block, d));
    const typename V::Int low = V::Set(kLowNibbles);
    const typename V::Int top_two = V::Set(0x30303030);
    const typename V::Int top[4] = {V::ShiftLeft(column[2], 4), V::ShiftLeft(column[2], 2),
                                    column[2], V::ShiftRight(column[2], 2)};
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const typename V::Int nibbles = V::And(V::ShiftRight(column[i % 2], i < 2 ? 0 : 4), low);
      const typename V::Int scales =
          V::SubBytes(V::Or(nibbles, V::And(top[i], top_two)), V::Set(0x20202020));
      h->scales[i] = scales;
    }
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
    LoadTwoBits<V>(rows, offsetof(Block, qs), chunk, w);
    // Bit 4 * half + g of byte l is the third bit of element 32 g + l of the half.
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const typename V::Int four =
          V::ShiftRight(shared.bits[4 * (chunk % 2) + i], static_cast<uint32_t>(4 * (chunk / 2)));
      const typename V::Int third = V::Set(0x04040404);
      w[i] = V::OrAnd(w[i], V::ShiftLeft(four, 2), third);
      w[4 + i] = V::OrAnd(w[4 + i], V::ShiftLeft(four, 1), third);
      w[8 + i] = V::OrAnd(w[8 + i], four, third);
      w[12 + i] = V::OrAnd(w[12 + i], V::ShiftRight(four, 1), third);
    }
  }
};

template <class V>
struct LanesIQ4_XS : SubBlocks<32>, ByteWeights<V> {
  using Block = tensor::BlockIQ4_XS;
  static constexpr bool kPrefetchStream = false;
  using Shared = NothingShared<V>;
  static constexpr bool kSignedScales = true;
  static constexpr bool kHasMin = false;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    // d and sixteen bits of high parts, then eight nibbles of low parts.
    typename V::Int column[4];
    rows.Columns(0, column);
    h->d = V::LowHalfToFloat(column[0]);
    const typename V::Int two = V::Set(3);
    const typename V::Int four = V::Set(0xf);
#pragma GCC unroll 2
    for (uint32_t i = 0; i < 2; ++i) {
      typename V::Int bytes = V::Zero();
#pragma GCC unroll 4
      for (uint32_t j = 0; j < 4; ++j) {
        const uint32_t sub = 4 * i + j;
        const typename V::Int low = V::And(V::ShiftRight(column[1], 4 * sub), four);
        const typename V::Int high = V::And(V::ShiftRight(column[0], 16 + 2 * sub), two);
        bytes = V::Or(bytes, V::ShiftLeft(V::Or(low, V::ShiftLeft(high, 4)), 8 * j));
      }
      const typename V::Int scales = V::SubBytes(bytes, V::Set(0x20202020));
      h->scales[i] = scales;
    }
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    const size_t qs = offsetof(Block, qs) + 32 * chunk;
    LoadNibbles<V>(rows, qs, w);
    LoadNibbles<V>(rows, qs + 16, w + 8);
    LookUpIQ4<V>(kSlicesPerChunk, w);
  }
};

}  // namespace
}  // namespace plimsoll::kernels
