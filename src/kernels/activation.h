// Packed activation rows: how a row of floats is laid out before it meets a weight row.
//
// docs/numerics.md, "Packing activations", fixes the numbers; this file fixes the bytes. A packed
// row is a plain array of blocks, aligned to 64 bytes, ActivationRowBytes() long; what follows the
// last block up to that size is unspecified.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace plimsoll::kernels {

// A block of kQ8x32: x[i] ~ d * q[i].
struct BlockQ8x32 {
  static constexpr uint32_t kElements = 32;
  float d;
  int16_t sums[2];  // sums[j] of q[16 j .. 16 j + 15]
  int8_t q[32];     // in [-127, 127]
};
static_assert(sizeof(BlockQ8x32) == 40);

// A block of kQ8x256: x[i] ~ d * steps[i / 32] * q[i].
struct BlockQ8x256 {
  static constexpr uint32_t kElements = 256;
  static constexpr int kMaxSteps = 8;  // with more, the sums of 32 would not be 16-bit integers
  float d;
  int16_t steps[8][2];  // from 1 to kMaxSteps; each twice, as kernels multiply with them
  int16_t sums[16];     // sums[j] of steps[j / 2] * q[16 j .. 16 j + 15]
  int8_t q[256];        // in [-127, 127]
};
static_assert(sizeof(BlockQ8x256) == 324);

// A block whose largest magnitude is below this packs to zeros: 127 / amax could overflow.
inline constexpr float kPackAmaxMin = 0x1p-100F;

}  // namespace plimsoll::kernels
