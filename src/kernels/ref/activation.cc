#include "kernels/activation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/ref/ref.h"

namespace plimsoll::kernels::ref {
namespace {

// |x| <= 2^22, ties to even. (The sum's low bits hold the integer; no cast that a NaN could break.)
int32_t RoundToEven(float x) {
  constexpr float kRoundToInteger = 0x1.8p+23F;
  const uint32_t bits = std::bit_cast<uint32_t>(x + kRoundToInteger);
  return static_cast<int32_t>(bits - std::bit_cast<uint32_t>(kRoundToInteger));
}

float MaxMagnitude(const float* x, uint32_t n) {
  float amax = 0;
  for (uint32_t i = 0; i < n; ++i) {
    amax = std::max(amax, std::fabs(x[i]));
  }
  return amax;
}

// n floats times `inverse` as integers. The product with an inverse of 0 rounds to 0.
void Multiply(const float* x, float inverse, uint32_t n, int8_t* q) {
  for (uint32_t i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(RoundToEven(x[i] * inverse));
  }
}

// The sums of sixteen each.
template <size_t kSums>
void AddUp(const int8_t* q, int16_t (&sums)[kSums]) {
  for (size_t j = 0; j < kSums; ++j) {
    sums[j] = static_cast<int16_t>(std::accumulate(q + 16 * j, q + 16 * j + 16, 0));
  }
}

void Pack(const float* x, BlockQ8x32* block) {
  const float amax = MaxMagnitude(x, BlockQ8x32::kElements);
  const bool zero = amax < kPackAmaxMin;
  block->d = zero ? 0 : amax / 127;
  Multiply(x, zero ? 0 : 127 / amax, BlockQ8x32::kElements, block->q);
  AddUp(block->q, block->sums);
}

void Pack(const float* x, BlockQ8x256* block) {
  constexpr float kSteps = BlockQ8x256::kMaxSteps;
  float max[8];
  for (uint32_t i = 0; i < 8; ++i) {
    max[i] = MaxMagnitude(x + 32 * i, 32);
  }
  const float amax = *std::max_element(max, max + 8);
  const bool zero = amax < kPackAmaxMin;
  block->d = zero ? 0 : amax / (127 * kSteps);
  const float inverse = zero ? 0 : 127 * kSteps / amax;
  const float in_steps = zero ? 0 : kSteps / amax;
  for (uint32_t i = 0; i < 8; ++i) {
    const float exact = max[i] * in_steps;  // not a number where x is infinite
    const float steps = exact > 1 ? std::min(std::ceil(exact), kSteps) : 1;
    const auto whole = static_cast<int16_t>(steps);
    std::fill(block->steps[i], block->steps[i] + 2, whole);
    Multiply(x + 32 * i, inverse / steps, 32, block->q + 32 * i);
  }
  AddUp(block->q, block->sums);
  for (uint32_t j = 0; j < 16; ++j) {
    block->sums[j] = static_cast<int16_t>(block->steps[j / 2][0] * block->sums[j]);
  }
}

template <class Block>
void PackBlocks(const float* x, uint64_t k, std::byte* out) {
  for (uint64_t b = 0; b < k / Block::kElements; ++b) {
    Block block;
    Pack(x + b * Block::kElements, &block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  }
}

}  // namespace

void PackActivation(ActivationFormat format, const float* x, uint64_t k, std::byte* out) {
  switch (format) {
    case ActivationFormat::kF32:
      std::memcpy(out, x, k * sizeof(float));
      break;
    case ActivationFormat::kQ8x32:
      PackBlocks<BlockQ8x32>(x, k, out);
      break;
    case ActivationFormat::kQ8x256:
      PackBlocks<BlockQ8x256>(x, k, out);
      break;
  }
}

}  // namespace plimsoll::kernels::ref
