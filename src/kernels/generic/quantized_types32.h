// The types whose blocks hold 32 weights, or 64, which are two parts of 32, unpacked for as many
// rows at once as V has lanes.
//
// Each type says how its weights meet the activations and turns one block of kLanes rows (Rows:
// quantized_rows.h; of blocks of 64, PartRows) into bytes in two arrangements: eight slices, of
// which slice i holds the elements 4 i .. 4 i + 3 of every row, a row a lane (Unpack); and two
// times kRowPieces pieces, a row's sixteen elements side by side (UnpackPieces; blocks of 32 only).
// Unsigned bytes stand for w + kZero; signed ones (kSigned) for w. Bit layouts are those of
// tensor/blocks.h; facts of the packing from ggml's ggml-common.h and ggml-quants.c.
//
// V is the Lanes of an instruction set; everything here is a template over it, so it has internal
// linkage, as those have.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tables.h"
#include "tensor/blocks.h"

namespace plimsoll::kernels {
namespace {

inline constexpr size_t kSlices32 = 8;
// Vectors that hold sixteen bytes of each row: number i has rows i, i + 4 and on.
inline constexpr size_t kRowPieces = 4;

inline constexpr int32_t kLowNibbles = 0x0f0f0f0f;
inline constexpr int32_t kSignBits = static_cast<int32_t>(0x80808080);
// kE2M1DoubledValues + 12
inline constexpr uint8_t kE2M1PlusTwelve[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                12, 11, 10, 9,  8,  6,  4,  0};

// One block of each row of a type whose blocks hold 64 weights: the part that is meant.
template <class Rows>
struct PartRows {
  Rows rows;
  size_t part;
};

template <class Type>
inline constexpr size_t kPartsOf = Type::Block::kElements / 32;

// The 32 elements of a block that are its part number `part`, as Type takes them.
template <class Type, class Rows>
[[gnu::always_inline]] inline auto PartOf(const Rows& rows, size_t part) {
  if constexpr (kPartsOf<Type> == 1) {
    return rows;
  } else {
    return PartRows<Rows>{rows, part};
  }
}

// Sixteen bytes of nibbles a row: low ones to the first four slices, high ones to the last four.
template <class V, class Rows>
void LoadNibbles(const Rows& rows, size_t offset, typename V::Int* w) {
  typename V::Int packed[4];
  rows.Columns(offset, packed);
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    w[i] = V::And(packed[i], V::Set(kLowNibbles));
    w[4 + i] = V::And(V::ShiftRight(packed[i], 4), V::Set(kLowNibbles));
  }
}

// The same as pieces.
template <class V, class Rows>
void LoadNibblePieces(const Rows& rows, size_t offset, typename V::Int (&w)[2][kRowPieces]) {
  typename V::Int packed[kRowPieces];
  rows.Pieces(offset, packed);
#pragma GCC unroll 4
  for (size_t i = 0; i < kRowPieces; ++i) {
    w[0][i] = V::And(packed[i], V::Set(kLowNibbles));
    w[1][i] = V::And(V::ShiftRight(packed[i], 4), V::Set(kLowNibbles));
  }
}

// Adds 16 to element i where bit i of the row's 32 bits is set.
template <class V>
void AddFifthBits(typename V::Int bits, typename V::Int* w) {
  // The bits of slice i are a half of byte i / 2, which goes to all four bytes of the lane.
  static constexpr uint8_t kByte[4][16] = {
      {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
      {1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13},
      {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14},
      {3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15}};
#pragma GCC unroll 8
  for (size_t i = 0; i < kSlices32; ++i) {
    const typename V::Int byte = V::ShuffleBytes(bits, V::Repeat16(kByte[i / 2]));
    const typename V::Int own_bit =
        V::Set(i % 2 == 0 ? 0x08040201 : static_cast<int32_t>(0x80402010));
    w[i] = V::AddWhereSet(w[i], byte, own_bit, 16);
  }
}

// The same as pieces; the bits begin at `offset`.
template <class V, class Rows>
void AddFifthBitsToPieces(const Rows& rows, size_t offset, typename V::Int (&w)[2][kRowPieces]) {
  static constexpr uint8_t kByte[2][16] = {{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1},
                                           {2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3}};
  static constexpr uint8_t kBit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  typename V::Int bits[kRowPieces];
  rows.Pieces(offset, bits);
#pragma GCC unroll 2
  for (size_t h = 0; h < 2; ++h) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kRowPieces; ++i) {
      const typename V::Int byte = V::ShuffleBytes(bits[i], V::Repeat16(kByte[h]));
      w[h][i] = V::AddWhereSet(w[h][i], byte, V::Repeat16(kBit), 16);
    }
  }
}

// Codes of the IQ4 types to their values; unsigned bytes with a zero point of 128 where V can
// multiply those.
template <class V>
void LookUpIQ4(size_t n, typename V::Int* w) {
  typename V::Int values = V::Repeat16(&kIQ4Values);
  if constexpr (V::kUnsignedBytes) {
    values = V::Xor(values, V::Set(kSignBits));
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < n; ++i) {
    w[i] = V::ShuffleBytes(values, w[i]);
  }
}

// Codes of E2M1 to their doubled values, plus twelve.
template <class V>
void LookUpE2M1(size_t n, typename V::Int* w) {
  const typename V::Int values = V::Repeat16(kE2M1PlusTwelve);
#pragma GCC unroll 16
  for (size_t i = 0; i < n; ++i) {
    w[i] = V::ShuffleBytes(values, w[i]);
  }
}

// How full bytes meet the activations.
template <class V>
struct ByteWeights {
  static constexpr bool kSigned = !V::kUnsignedBytes;
  static constexpr int kZero = kSigned ? 0 : 128;
  static constexpr int kMaxWeight = kSigned ? 128 : 255;
};

template <int kZeroPoint, int kMax>
struct UnsignedWeights {
  static constexpr bool kSigned = false;
  static constexpr int kZero = kZeroPoint;
  static constexpr int kMaxWeight = kMax;
};

// Blocks that start with an F16 scale, and with a scale and a minimum.
template <class V>
struct HalfScale {
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = false;
  template <class Rows>
  static void ReadScales(const Rows& rows, typename V::Float* d, typename V::Float* m) {
    *d = rows.Halves(0);
    *m = *d;
  }
};

template <class V>
struct HalfScaleAndMin {
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = true;
  template <class Rows>
  static void ReadScales(const Rows& rows, typename V::Float* d, typename V::Float* m) {
    rows.TwoHalves(0, d, m);
  }
};

template <class V>
struct LanesQ8_0 : HalfScale<V>, ByteWeights<V> {
  using Block = tensor::BlockQ8_0;
  static constexpr bool kKeepsSums = true;
  static constexpr bool kReadsInRuns = true;  // StreamAhead

  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    rows.Columns(offsetof(Block, qs), w);
    rows.Columns(offsetof(Block, qs) + 16, w + 4);
    if constexpr (V::kUnsignedBytes) {
#pragma GCC unroll 8
      for (size_t i = 0; i < kSlices32; ++i) {
        w[i] = V::Xor(w[i], V::Set(kSignBits));
      }
    }
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
#pragma GCC unroll 2
    for (size_t h = 0; h < 2; ++h) {
      rows.Pieces(offsetof(Block, qs) + 16 * h, w[h]);
#pragma GCC unroll 4
      for (size_t i = 0; i < kRowPieces && V::kUnsignedBytes; ++i) {
        w[h][i] = V::Xor(w[h][i], V::Set(kSignBits));
      }
    }
  }
};

template <class V>
struct LanesQ4_0 : HalfScale<V>, UnsignedWeights<8, 15> {
  using Block = tensor::BlockQ4_0;
  static constexpr bool kKeepsSums = true;

  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    LoadNibbles<V>(rows, offsetof(Block, qs), w);
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
    LoadNibblePieces<V>(rows, offsetof(Block, qs), w);
  }
};

template <class V>
struct LanesQ4_1 : HalfScaleAndMin<V>, UnsignedWeights<0, 15> {
  using Block = tensor::BlockQ4_1;

  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    LoadNibbles<V>(rows, offsetof(Block, qs), w);
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
    LoadNibblePieces<V>(rows, offsetof(Block, qs), w);
  }
};

template <class V>
struct LanesQ5_0 : HalfScale<V>, UnsignedWeights<16, 31> {
  using Block = tensor::BlockQ5_0;

  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    LoadNibbles<V>(rows, offsetof(Block, qs), w);
    AddFifthBits<V>(rows.Column(offsetof(Block, qh)), w);
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
    LoadNibblePieces<V>(rows, offsetof(Block, qs), w);
    AddFifthBitsToPieces<V>(rows, offsetof(Block, qh), w);
  }
};

template <class V>
struct LanesQ5_1 : HalfScaleAndMin<V>, UnsignedWeights<0, 31> {
  using Block = tensor::BlockQ5_1;

  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    LoadNibbles<V>(rows, offsetof(Block, qs), w);
    AddFifthBits<V>(rows.Column(offsetof(Block, qh)), w);
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
    LoadNibblePieces<V>(rows, offsetof(Block, qs), w);
    AddFifthBitsToPieces<V>(rows, offsetof(Block, qh), w);
  }
};

template <class V>
struct LanesIQ4_NL : HalfScale<V>, ByteWeights<V> {
  using Block = tensor::BlockIQ4_NL;

  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    LoadNibbles<V>(rows, offsetof(Block, qs), w);
    LookUpIQ4<V>(kSlices32, w);
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
    LoadNibblePieces<V>(rows, offsetof(Block, qs), w);
    LookUpIQ4<V>(kRowPieces, w[0]);
    LookUpIQ4<V>(kRowPieces, w[1]);
  }
};

template <class V>
struct LanesMXFP4 : UnsignedWeights<12, 24> {
  using Block = tensor::BlockMXFP4;
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = false;

  template <class Rows>
  static void ReadScales(const Rows& rows, typename V::Float* d, typename V::Float* m) {
    *d = PowerOfTwo(rows.ByteColumn(0));
    *m = *d;
  }
  template <class Rows>
  static void Unpack(const Rows& rows, typename V::Int* w) {
    LoadNibbles<V>(rows, offsetof(Block, qs), w);
    LookUpE2M1<V>(kSlices32, w);
  }
  template <class Rows>
  static void UnpackPieces(const Rows& rows, typename V::Int (&w)[2][kRowPieces]) {
    LoadNibblePieces<V>(rows, offsetof(Block, qs), w);
    LookUpE2M1<V>(kRowPieces, w[0]);
    LookUpE2M1<V>(kRowPieces, w[1]);
  }

 private:
  // 2^(e - 128); the lowest two are subnormal.
  static typename V::Float PowerOfTwo(typename V::Int e) {
    const typename V::Int one = V::Set(1);
    const typename V::Int normal = V::ShiftLeft(V::Sub(V::Max(e, one), one), 23);
    // A shift count of 32 and more gives 0, so only e < 2 has anything here.
    const typename V::Int shift = V::Add(e, V::ShiftLeft(V::ShiftRight(e, 1), 5));
    return V::AsFloat(V::Or(normal, V::ShiftLeftEach(V::Set(0x00200000), shift)));
  }
};

template <class V>
struct LanesNVFP4 : UnsignedWeights<12, 24> {
  using Block = tensor::BlockNVFP4;
  static constexpr bool kPrefetchStream = false;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalves = true;

  // The scales of the first sixteen elements and of the others.
  template <class Rows>
  static void ReadScales(const PartRows<Rows>& block, typename V::Float* first,
                         typename V::Float* second) {
    const typename V::Int bytes = V::ZeroWhereEqual(
        V::And(block.rows.Column(offsetof(Block, scales)), V::Set(0x7f7f7f7f)), 0x7f);
    const typename V::Int two = V::ShiftRight(bytes, static_cast<uint32_t>(16 * block.part));
    // Exponent and mantissa of a byte where an F16 has them, whose bias is larger by 8; its half.
    *first = V::FloatMul(V::LowHalfToFloat(V::And(V::ShiftLeft(two, 7), V::Set(0x3f80))),
                         V::FloatSet(0x1p7F));
    *second = V::FloatMul(V::LowHalfToFloat(V::And(V::ShiftRight(two, 1), V::Set(0x3f80))),
                          V::FloatSet(0x1p7F));
  }
  template <class Rows>
  static void Unpack(const PartRows<Rows>& block, typename V::Int* w) {
    // Eight bytes, two dwords, for sixteen elements: those of the low nibbles come first.
    typename V::Int nibbles[kSlices32];
    LoadNibbles<V>(block.rows, offsetof(Block, qs) + 16 * block.part, nibbles);
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
      w[i] = nibbles[i];
      w[2 + i] = nibbles[4 + i];
      w[4 + i] = nibbles[2 + i];
      w[6 + i] = nibbles[6 + i];
    }
    LookUpE2M1<V>(kSlices32, w);
  }
};

}  // namespace
}  // namespace plimsoll::kernels
