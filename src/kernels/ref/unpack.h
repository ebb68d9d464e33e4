// The quantized blocks of GGUF as plain integers and scales: one function a type, shared by the
// matrix product, by rows as floats and by tests. Facts of the packing from ggml's ggml-common.h
// and ggml-quants.c.
#pragma once

#include <cstdint>

#include "tensor/blocks.h"

namespace plimsoll::kernels::ref {

// Element i of a block of 32 is d * w[i] + m.
struct Unpacked32 {
  float d;
  float m;  // 0 for the types without a minimum
  int8_t w[32];
};

// Element i of a block of 64 is d[i / 16] * w[i].
struct Unpacked64 {
  float d[4];
  int8_t w[64];
};

// Element i of a super-block is d * scales[i / 16] * w[i] - dmin * minima[i / 16]. Types that have
// one scale per 32 elements hold it twice.
struct Unpacked256 {
  float d;
  float dmin;  // 0, like the minima, for the types without a minimum
  int16_t scales[16];
  int16_t minima[16];
  int8_t w[256];
};

void Unpack(const tensor::BlockQ8_0& block, Unpacked32* out);
void Unpack(const tensor::BlockQ4_0& block, Unpacked32* out);
void Unpack(const tensor::BlockQ4_1& block, Unpacked32* out);
void Unpack(const tensor::BlockQ5_0& block, Unpacked32* out);
void Unpack(const tensor::BlockQ5_1& block, Unpacked32* out);
void Unpack(const tensor::BlockIQ4_NL& block, Unpacked32* out);
void Unpack(const tensor::BlockMXFP4& block, Unpacked32* out);

void Unpack(const tensor::BlockNVFP4& block, Unpacked64* out);

void Unpack(const tensor::BlockQ2_K& block, Unpacked256* out);
void Unpack(const tensor::BlockQ3_K& block, Unpacked256* out);
void Unpack(const tensor::BlockQ4_K& block, Unpacked256* out);
void Unpack(const tensor::BlockQ5_K& block, Unpacked256* out);
void Unpack(const tensor::BlockQ6_K& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ4_XS& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ2_XXS& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ2_XS& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ2_S& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ3_XXS& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ3_S& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ1_S& block, Unpacked256* out);
void Unpack(const tensor::BlockIQ1_M& block, Unpacked256* out);
void Unpack(const tensor::BlockTQ1_0& block, Unpacked256* out);
void Unpack(const tensor::BlockTQ2_0& block, Unpacked256* out);

}  // namespace plimsoll::kernels::ref
