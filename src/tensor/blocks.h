// The quantized block layouts of GGUF, byte for byte as files hold them (little-endian).
//
// Facts from ggml's ggml-common.h and the GGUF specification. F16 fields are raw bits; how each
// block turns into numbers is in docs/numerics.md.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace plimsoll::tensor {

using F16Bits = uint16_t;

struct BlockQ4_0 {
  static constexpr DType kDType = DType::kQ4_0;
  static constexpr uint32_t kElements = 32;
  F16Bits d;
  uint8_t qs[16];  // low nibbles: elements 0-15, high nibbles: 16-31
};
static_assert(sizeof(BlockQ4_0) == 18);

struct BlockQ4_1 {
  static constexpr DType kDType = DType::kQ4_1;
  static constexpr uint32_t kElements = 32;
  F16Bits d;
  F16Bits m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

struct BlockQ5_0 {
  static constexpr DType kDType = DType::kQ5_0;
  static constexpr uint32_t kElements = 32;
  F16Bits d;
  uint8_t qh[4];  // bit i: the fifth bit of element i
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

struct BlockQ5_1 {
  static constexpr DType kDType = DType::kQ5_1;
  static constexpr uint32_t kElements = 32;
  F16Bits d;
  F16Bits m;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

struct BlockQ8_0 {
  static constexpr DType kDType = DType::kQ8_0;
  static constexpr uint32_t kElements = 32;
  F16Bits d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

struct BlockQ2_K {
  static constexpr DType kDType = DType::kQ2_K;
  static constexpr uint32_t kElements = 256;
  uint8_t scales[16];  // per 16 elements: scale in the low nibble, minimum in the high one
  uint8_t qs[64];
  F16Bits d;
  F16Bits dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

struct BlockQ3_K {
  static constexpr DType kDType = DType::kQ3_K;
  static constexpr uint32_t kElements = 256;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];  // sixteen 6-bit scales
  F16Bits d;
};
static_assert(sizeof(BlockQ3_K) == 110);

struct BlockQ4_K {
  static constexpr DType kDType = DType::kQ4_K;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  F16Bits dmin;
  uint8_t scales[12];  // eight 6-bit scales and eight 6-bit minima
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

struct BlockQ5_K {
  static constexpr DType kDType = DType::kQ5_K;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  F16Bits dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

struct BlockQ6_K {
  static constexpr DType kDType = DType::kQ6_K;
  static constexpr uint32_t kElements = 256;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  F16Bits d;
};
static_assert(sizeof(BlockQ6_K) == 210);

struct BlockIQ4_NL {
  static constexpr DType kDType = DType::kIQ4_NL;
  static constexpr uint32_t kElements = 32;
  F16Bits d;
  uint8_t qs[16];  // indices into a table of sixteen values
};
static_assert(sizeof(BlockIQ4_NL) == 18);

struct BlockIQ4_XS {
  static constexpr DType kDType = DType::kIQ4_XS;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// Ternary weights, five to a byte: the leading digits of 3^n times the byte, as a fraction of 256.
struct BlockTQ1_0 {
  static constexpr DType kDType = DType::kTQ1_0;
  static constexpr uint32_t kElements = 256;
  uint8_t qs[48];  // digit n of the first 32: elements from 32 n on; of the others, from 160 + 16 n
  uint8_t qh[4];   // digit n: elements from 240 + 4 n on
  F16Bits d;
};
static_assert(sizeof(BlockTQ1_0) == 54);

struct BlockTQ2_0 {
  static constexpr DType kDType = DType::kTQ2_0;
  static constexpr uint32_t kElements = 256;
  uint8_t qs[64];
  F16Bits d;
};
static_assert(sizeof(BlockTQ2_0) == 66);

// In the IQ1, IQ2 and IQ3 types an index into a codebook (kernels/codebooks.h) stands for eight
// weights, or four in IQ3. Scales s stand for 2 s + 1.
struct BlockIQ2_XXS {
  static constexpr DType kDType = DType::kIQ2_XXS;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint8_t qs[64];  // per 32 elements four indices, and a dword: four times 7 bits of signs, a scale
};
static_assert(sizeof(BlockIQ2_XXS) == 66);

struct BlockIQ2_XS {
  static constexpr DType kDType = DType::kIQ2_XS;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint8_t qs[64];     // per 8 elements a word: 9 bits of index, 7 bits of signs
  uint8_t scales[8];  // a nibble per 16 elements
};
static_assert(sizeof(BlockIQ2_XS) == 74);

struct BlockIQ2_S {
  static constexpr DType kDType = DType::kIQ2_S;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint8_t qs[32];     // the low bytes of the indices
  uint8_t signs[32];  // bit i: element i
  uint8_t qh[8];      // per index two bits more
  uint8_t scales[8];  // a nibble per 16 elements
};
static_assert(sizeof(BlockIQ2_S) == 82);

struct BlockIQ3_XXS {
  static constexpr DType kDType = DType::kIQ3_XXS;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint8_t qs[64];     // indices
  uint8_t signs[32];  // per 32 elements a dword: four times 7 bits of signs, a scale
};
static_assert(sizeof(BlockIQ3_XXS) == 98);

struct BlockIQ3_S {
  static constexpr DType kDType = DType::kIQ3_S;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint8_t qs[64];     // the low bytes of the indices
  uint8_t qh[8];      // bit i: the ninth bit of index i
  uint8_t signs[32];  // bit i: element i
  uint8_t scales[4];  // a nibble per 32 elements
};
static_assert(sizeof(BlockIQ3_S) == 110);

struct BlockIQ1_S {
  static constexpr DType kDType = DType::kIQ1_S;
  static constexpr uint32_t kElements = 256;
  F16Bits d;
  uint8_t qs[32];  // the low bytes of the indices
  uint8_t qh[16];  // per 32 elements a word: four times three bits of index, a scale, delta's sign
};
static_assert(sizeof(BlockIQ1_S) == 50);

struct BlockIQ1_M {
  static constexpr DType kDType = DType::kIQ1_M;
  static constexpr uint32_t kElements = 256;
  uint8_t qs[32];  // the low bytes of the indices
  uint8_t qh[16];  // per 8 elements a nibble: three bits of index, delta's sign
  uint8_t
      scales[8];  // four words: four scales of three bits, and a nibble of the super-block's F16
};
static_assert(sizeof(BlockIQ1_M) == 56);

struct BlockMXFP4 {
  static constexpr DType kDType = DType::kMXFP4;
  static constexpr uint32_t kElements = 32;
  uint8_t e;  // exponent, E8M0
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

struct BlockNVFP4 {
  static constexpr DType kDType = DType::kNVFP4;
  static constexpr uint32_t kElements = 64;
  uint8_t scales[4];  // per 16 elements, UE4M3: four bits of exponent, three of mantissa, no sign
  uint8_t
      qs[32];  // eight bytes per 16 elements; low nibbles: the first eight, high nibbles: the rest
};
static_assert(sizeof(BlockNVFP4) == 36);

}  // namespace plimsoll::tensor
