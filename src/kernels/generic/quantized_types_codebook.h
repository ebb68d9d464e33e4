// The IQ1, IQ2 and IQ3 types in the form of quantized_types256.h: an index of a row is looked up in
// a codebook (codebooks.h) for eight or four weights, all rows at once. Magnitudes and signs make
// unsigned bytes around a zero point. Facts of the packing from ggml's ggml-common.h and
// ggml-quants.c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/codebooks.h"
#include "kernels/generic/quantized_types256.h"
#include "tensor/blocks.h"

namespace plimsoll::kernels {
namespace {

// Sub-blocks of sixteen one behind another.
struct SixteensInOrder {
  static constexpr size_t kSub = 16;
  static constexpr size_t kCount = 16;
  static constexpr size_t SubBlock(size_t chunk, size_t g) { return 4 * chunk + g; }
};

// What the codebook types have in common. Looking up takes as long as the memory.
struct CodebookType {
  static constexpr bool kPrefetchStream = true;
  static constexpr bool kSignedScales = false;
  static constexpr bool kHasMin = false;
};

// By a number of bits to the left, or to the right if it is negative.
template <class V>
[[gnu::always_inline]] inline typename V::Int ShiftBy(typename V::Int a, int left) {
  return left >= 0 ? V::ShiftLeft(a, static_cast<uint32_t>(left))
                   : V::ShiftRight(a, static_cast<uint32_t>(-left));
}

// Byte `n` of each lane.
template <class V>
[[gnu::always_inline]] inline typename V::Int ByteOf(typename V::Int a, size_t n) {
  return V::And(V::ShiftRight(a, static_cast<uint32_t>(8 * n)), V::Set(0xff));
}

// The four nibbles of 16 bits to four bytes; `a` has no other bits.
template <class V>
[[gnu::always_inline]] inline typename V::Int SpreadNibbles(typename V::Int a) {
  const typename V::Int halves = V::And(V::Or(a, V::ShiftLeft(a, 8)), V::Set(0x00ff00ff));
  return V::And(V::Or(halves, V::ShiftLeft(halves, 4)), V::Set(kLowNibbles));
}

// The same of four numbers of two bits in eight.
template <class V>
[[gnu::always_inline]] inline typename V::Int SpreadTwoBits(typename V::Int a) {
  const typename V::Int halves = V::And(V::Or(a, V::ShiftLeft(a, 12)), V::Set(0x000f000f));
  return V::And(V::Or(halves, V::ShiftLeft(halves, 6)), V::Set(0x03030303));
}

// Scales s of four bits are odd numbers, 2 s + 1.
template <class V>
[[gnu::always_inline]] inline typename V::Int OddScales(typename V::Int bytes) {
  return V::Or(V::ShiftLeft(bytes, 1), V::Set(0x01010101));
}

// The nibbles of two dwords, or of one, as scales of sub-blocks in order.
template <class V, size_t kSubBlocks>
[[gnu::always_inline]] inline void NibbleScales(const typename V::Int* dwords,
                                                SuperHeader<V, kSubBlocks>* h) {
#pragma GCC unroll 4
  for (size_t i = 0; i < kSubBlocks / 4; ++i) {
    const typename V::Int four =
        V::And(V::ShiftRight(dwords[i / 2], static_cast<uint32_t>(16 * (i % 2))), V::Set(0xffff));
    h->scales[i] = OddScales<V>(SpreadNibbles<V>(four));
  }
}

// Numbers of 32 elements are stored in seven bits for each eight signs, of which an even number is
// set. `a` has them in four bytes.
template <class V>
[[gnu::always_inline]] inline typename V::Int WithEighthSigns(typename V::Int a) {
  static constexpr std::array<int8_t, 16> kOdd = {0,    -128, -128, 0,    -128, 0,    0,    -128,
                                                  -128, 0,    0,    -128, 0,    -128, -128, 0};
  const typename V::Int folded = V::Xor(a, V::ShiftRight(a, 4));
  return V::Or(a, V::Lookup(kOdd.data(), V::And(folded, V::Set(kLowNibbles))));
}

// Of IQ2_XXS and IQ3_XXS: 28 bits are the signs of 32 elements.
template <class V>
[[gnu::always_inline]] inline typename V::Int SignsOf28Bits(typename V::Int a) {
  typename V::Int bytes = V::And(a, V::Set(0x7f));
#pragma GCC unroll 3
  for (uint32_t i = 1; i < 4; ++i) {
    bytes = V::OrAnd(bytes, V::ShiftLeft(a, i), V::Set(0x7f << (8 * i)));
  }
  return WithEighthSigns<V>(bytes);
}

// Magnitudes to kZero plus or minus them: bit i of `signs` belongs to element i of the slices.
template <class V, int kZero, size_t kSlices>
[[gnu::always_inline]] inline void ApplySigns(typename V::Int signs, typename V::Int* w) {
  static constexpr uint8_t kByte[4][16] = {
      {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
      {1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13},
      {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14},
      {3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15}};
  const typename V::Int zero = V::Set(kZero * 0x01010101);
#pragma GCC unroll 8
  for (size_t i = 0; i < kSlices; ++i) {
    const typename V::Int byte = V::ShuffleBytes(signs, V::Repeat16(kByte[i / 2]));
    const typename V::Int own_bit =
        V::Set(i % 2 == 0 ? 0x08040201 : static_cast<int32_t>(0x80402010));
    w[i] = V::AddSigned(zero, w[i], byte, own_bit);
  }
}

// Eight digits of two bits each, looked up for a dword of indices: to two slices.
template <class V, size_t kEntries>
[[gnu::always_inline]] inline void LookUpTwoBits(const std::array<uint16_t, kEntries>& codebook,
                                                 typename V::Int index, typename V::Int* w) {
  const typename V::Int digits = V::template Gather<sizeof(uint16_t)>(codebook.data(), index);
  w[0] = SpreadTwoBits<V>(ByteOf<V>(digits, 0));
  w[1] = SpreadTwoBits<V>(ByteOf<V>(digits, 1));
}

template <class V, size_t kEntries>
[[gnu::always_inline]] inline void LookUpIQ2(const std::array<uint16_t, kEntries>& codebook,
                                             typename V::Int index, typename V::Int* w) {
  LookUpTwoBits<V>(codebook, index, w);
  w[0] = V::Lookup(kIQ2Magnitudes.data(), w[0]);
  w[1] = V::Lookup(kIQ2Magnitudes.data(), w[1]);
}

// A type's scale in eighths: those of the IQ1 and IQ2 types are stored for that.
template <class V>
[[gnu::always_inline]] inline typename V::Float Eighth(typename V::Float d) {
  return V::FloatMul(d, V::FloatSet(0.125F));
}

template <class V>
struct LanesIQ2_XXS : SubBlocks<32>, UnsignedWeights<43, 86>, CodebookType {
  using Block = tensor::BlockIQ2_XXS;
  using Shared = NothingShared<V>;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = Eighth<V>(rows.Halves(offsetof(Block, d)));
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
      typename V::Int bytes = V::Zero();
#pragma GCC unroll 4
      for (uint32_t j = 0; j < 4; ++j) {
        const typename V::Int signs = rows.Column(offsetof(Block, qs) + 8 * (4 * i + j) + 4);
        bytes = V::Or(bytes, V::ShiftLeft(V::ShiftRight(signs, 28), 8 * j));
      }
      h->scales[i] = OddScales<V>(bytes);
    }
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    // For each 32 weights four indices, then signs and a scale.
    typename V::Int column[4];
    rows.Columns(offsetof(Block, qs) + 16 * chunk, column);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        LookUpIQ2<V>(kIQ2XXSCodebook, ByteOf<V>(column[2 * half], i), w + 8 * half + 2 * i);
      }
      ApplySigns<V, kZero, 8>(SignsOf28Bits<V>(column[2 * half + 1]), w + 8 * half);
    }
  }
};

template <class V>
struct LanesIQ2_XS : SixteensInOrder, UnsignedWeights<43, 86>, CodebookType {
  using Block = tensor::BlockIQ2_XS;
  using Shared = NothingShared<V>;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = Eighth<V>(rows.Halves(offsetof(Block, d)));
    const typename V::Int scales[2] = {rows.Column(offsetof(Block, scales)),
                                       rows.Column(offsetof(Block, scales) + 4)};
    NibbleScales<V>(scales, h);
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    // A dword for sixteen weights: twice nine bits of index and seven of signs.
    typename V::Int column[4];
    rows.Columns(offsetof(Block, qs) + 16 * chunk, column);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const typename V::Int index = V::Set(0x1ff);
      LookUpIQ2<V>(kIQ2XSCodebook, V::And(column[i], index), w + 4 * i);
      LookUpIQ2<V>(kIQ2XSCodebook, V::And(V::ShiftRight(column[i], 16), index), w + 4 * i + 2);
      const typename V::Int first = V::And(V::ShiftRight(column[i], 9), V::Set(0x7f));
      const typename V::Int both = V::OrAnd(first, V::ShiftRight(column[i], 17), V::Set(0x7f00));
      ApplySigns<V, kZero, 4>(WithEighthSigns<V>(both), w + 4 * i);
    }
  }
};

template <class V>
struct LanesIQ2_S : SixteensInOrder, UnsignedWeights<43, 86>, CodebookType {
  using Block = tensor::BlockIQ2_S;

  struct Shared {
    typename V::Int qs[8];
    typename V::Int signs[8];
    typename V::Int qh[2];
    template <class Rows>
    explicit Shared(const Rows& rows) {
      rows.Columns(offsetof(Block, qs), qs);
      rows.Columns(offsetof(Block, qs) + 16, qs + 4);
      rows.Columns(offsetof(Block, signs), signs);
      rows.Columns(offsetof(Block, signs) + 16, signs + 4);
      qh[0] = rows.Column(offsetof(Block, qh));
      qh[1] = rows.Column(offsetof(Block, qh) + 4);
    }
  };

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = Eighth<V>(rows.Halves(offsetof(Block, d)));
    const typename V::Int scales[2] = {rows.Column(offsetof(Block, scales)),
                                       rows.Column(offsetof(Block, scales) + 4)};
    NibbleScales<V>(scales, h);
  }
  template <class Rows>
  static void UnpackChunk(const Rows& /*rows*/, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const size_t at = 2 * chunk + half;  // of the 32 weights; their byte of qh has two bits each
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        const int left = 8 - static_cast<int>(2 * i) - static_cast<int>(8 * (at % 4));
        const typename V::Int index = V::OrAnd(ByteOf<V>(shared.qs[at], i),
                                               ShiftBy<V>(shared.qh[at / 4], left), V::Set(0x300));
        LookUpIQ2<V>(kIQ2SCodebook, index, w + 8 * half + 2 * i);
      }
      ApplySigns<V, kZero, 8>(shared.signs[at], w + 8 * half);
    }
  }
};

// Codebooks of four weights as the bytes that kernels want.
template <size_t kEntries, class Magnitude>
consteval std::array<uint32_t, kEntries - 1> MagnitudeBytes(
    const std::array<uint16_t, kEntries>& codebook, Magnitude magnitude) {
  std::array<uint32_t, kEntries - 1> bytes = {};
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (uint32_t j = 0; j < 4; ++j) {
      bytes[i] |= static_cast<uint32_t>(magnitude(codebook[i] >> (4 * j) & 15)) << (8 * j);
    }
  }
  return bytes;
}
inline constexpr auto kIQ3XXSBytes = MagnitudeBytes(
    kIQ3XXSCodebook, [](int digit) { return kIQ3XXSMagnitudes[static_cast<size_t>(digit)]; });
inline constexpr auto kIQ3SBytes =
    MagnitudeBytes(kIQ3SCodebook, [](int digit) { return 2 * digit + 1; });

template <class V>
struct LanesIQ3_XXS : SubBlocks<32>, UnsignedWeights<62, 124>, CodebookType {
  using Block = tensor::BlockIQ3_XXS;
  using Shared = SharedBits<V, offsetof(Block, signs)>;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = V::FloatMul(rows.Halves(offsetof(Block, d)), V::FloatSet(0.25F));
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
      typename V::Int signs[4];
      rows.Columns(offsetof(Block, signs) + 16 * i, signs);
      typename V::Int bytes = V::Zero();
#pragma GCC unroll 4
      for (uint32_t j = 0; j < 4; ++j) {
        bytes = V::Or(bytes, V::ShiftLeft(V::ShiftRight(signs[j], 28), 8 * j));
      }
      h->scales[i] = OddScales<V>(bytes);
    }
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
    typename V::Int column[4];
    rows.Columns(offsetof(Block, qs) + 16 * chunk, column);
#pragma GCC unroll 16
    for (size_t i = 0; i < kSlicesPerChunk; ++i) {
      w[i] = V::template Gather<4>(kIQ3XXSBytes.data(), ByteOf<V>(column[i / 4], i % 4));
    }
    ApplySigns<V, kZero, 8>(SignsOf28Bits<V>(shared.bits[2 * chunk]), w);
    ApplySigns<V, kZero, 8>(SignsOf28Bits<V>(shared.bits[2 * chunk + 1]), w + 8);
  }
};

template <class V>
struct LanesIQ3_S : SubBlocks<32>, UnsignedWeights<15, 30>, CodebookType {
  using Block = tensor::BlockIQ3_S;

  struct Shared {
    typename V::Int signs[8];
    typename V::Int qh[2];
    template <class Rows>
    explicit Shared(const Rows& rows) {
      rows.Columns(offsetof(Block, signs), signs);
      rows.Columns(offsetof(Block, signs) + 16, signs + 4);
      qh[0] = rows.Column(offsetof(Block, qh));
      qh[1] = rows.Column(offsetof(Block, qh) + 4);
    }
  };

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = rows.Halves(offsetof(Block, d));
    const typename V::Int scales = rows.Column(offsetof(Block, scales));
    NibbleScales<V>(&scales, h);
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
    typename V::Int column[4];
    rows.Columns(offsetof(Block, qs) + 16 * chunk, column);
#pragma GCC unroll 16
    for (size_t i = 0; i < kSlicesPerChunk; ++i) {
      // Bit 16 * chunk + i of qh is the ninth of the index.
      const int left = 8 - static_cast<int>(16 * (chunk % 2) + i);
      const typename V::Int index = V::OrAnd(ByteOf<V>(column[i / 4], i % 4),
                                             ShiftBy<V>(shared.qh[chunk / 2], left), V::Set(0x100));
      w[i] = V::template Gather<4>(kIQ3SBytes.data(), index);
    }
    ApplySigns<V, kZero, 8>(shared.signs[2 * chunk], w);
    ApplySigns<V, kZero, 8>(shared.signs[2 * chunk + 1], w + 8);
  }
};

// Eight weights of the IQ1 types: 8 g + 1 where bit `delta_bit` of `delta` is not set, else 8 g -
// 1, with g of the codebook; both plus 9.
template <class V>
[[gnu::always_inline]] inline void LookUpIQ1(typename V::Int index, typename V::Int delta,
                                             size_t delta_bit, typename V::Int* w) {
  const typename V::Int one = V::Set(1);
  const typename V::Int bit = V::And(V::ShiftRight(delta, static_cast<uint32_t>(delta_bit)), one);
  const typename V::Int two = V::And(V::Sub(bit, one), V::Set(0x02020202));
  LookUpTwoBits<V>(kIQ1Codebook, index, w);
  w[0] = V::Or(V::ShiftLeft(w[0], 3), two);
  w[1] = V::Or(V::ShiftLeft(w[1], 3), two);
}

template <class V>
struct LanesIQ1_S : SubBlocks<32>, UnsignedWeights<9, 18>, CodebookType {
  using Block = tensor::BlockIQ1_S;

  struct Shared {
    typename V::Int qs[8];
    typename V::Int qh[4];
    template <class Rows>
    explicit Shared(const Rows& rows) {
      rows.Columns(offsetof(Block, qs), qs);
      rows.Columns(offsetof(Block, qs) + 16, qs + 4);
      rows.Columns(offsetof(Block, qh), qh);
    }
  };

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = Eighth<V>(rows.Halves(offsetof(Block, d)));
    typename V::Int qh[4];
    rows.Columns(offsetof(Block, qh), qh);
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
      typename V::Int bytes = V::Zero();
#pragma GCC unroll 4
      for (uint32_t j = 0; j < 4; ++j) {
        const typename V::Int scale =
            V::And(V::ShiftRight(qh[2 * i + j / 2], 16 * (j % 2) + 12), V::Set(7));
        bytes = V::Or(bytes, V::ShiftLeft(scale, 8 * j));
      }
      h->scales[i] = OddScales<V>(bytes);
    }
  }
  template <class Rows>
  static void UnpackChunk(const Rows& /*rows*/, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      // Sixteen bits for 32 weights: four times three of index, a scale, the side of delta.
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        const int left = 8 - static_cast<int>(16 * half + 3 * i);
        const typename V::Int index = V::OrAnd(ByteOf<V>(shared.qs[2 * chunk + half], i),
                                               ShiftBy<V>(shared.qh[chunk], left), V::Set(0x700));
        LookUpIQ1<V>(index, shared.qh[chunk], 16 * half + 15, w + 8 * half + 2 * i);
      }
    }
  }
};

template <class V>
struct LanesIQ1_M : SixteensInOrder, UnsignedWeights<9, 18>, CodebookType {
  using Block = tensor::BlockIQ1_M;

  struct Shared {
    typename V::Int qs[8];
    typename V::Int qh[4];
    template <class Rows>
    explicit Shared(const Rows& rows) {
      rows.Columns(offsetof(Block, qs), qs);
      rows.Columns(offsetof(Block, qs) + 16, qs + 4);
      rows.Columns(offsetof(Block, qh), qh);
    }
  };

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    // Four times sixteen bits: four scales of three, and a quarter of d's.
    const typename V::Int packed[2] = {rows.Column(offsetof(Block, scales)),
                                       rows.Column(offsetof(Block, scales) + 4)};
    typename V::Int d = V::And(V::ShiftRight(packed[0], 12), V::Set(0xf));
    d = V::OrAnd(d, V::ShiftRight(packed[0], 24), V::Set(0xf0));
    d = V::OrAnd(d, V::ShiftRight(packed[1], 4), V::Set(0xf00));
    d = V::OrAnd(d, V::ShiftRight(packed[1], 16), V::Set(0xf000));
    h->d = Eighth<V>(V::LowHalfToFloat(d));
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      typename V::Int bytes = V::Zero();
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const int left = 5 * j - static_cast<int>(16 * (i % 2));
        bytes = V::OrAnd(bytes, ShiftBy<V>(packed[i / 2], left), V::Set(7 << (8 * j)));
      }
      h->scales[i] = OddScales<V>(bytes);
    }
  }
  template <class Rows>
  static void UnpackChunk(const Rows& /*rows*/, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
    // Four bits for eight weights: three of index, the side of delta.
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      const int left = 8 - static_cast<int>(4 * i);
      const typename V::Int index = V::OrAnd(ByteOf<V>(shared.qs[2 * chunk + i / 4], i % 4),
                                             ShiftBy<V>(shared.qh[chunk], left), V::Set(0x700));
      LookUpIQ1<V>(index, shared.qh[chunk], 4 * i + 3, w + 2 * i);
    }
  }
};

}  // namespace
}  // namespace plimsoll::kernels
