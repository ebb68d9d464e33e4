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

struct BlockMXFP4 {
  static constexpr DType kDType = DType::kMXFP4;
  static constexpr uint32_t kElements = 32;
  uint8_t e;  // exponent, E8M0
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

}  // namespace plimsoll::tensor
