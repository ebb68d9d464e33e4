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

// Quantizes n floats to q with one scale, which it returns.
float Quantize(const float* x, uint32_t n, int8_t* q) {
  float amax = 0;
  for (uint32_t i = 0; i < n; ++i) {
    amax = std::max(amax, std::fabs(x[i]));
  }
  if (amax < kPackAmaxMin) {
    std::fill(q, q + n, int8_t{0});
    return 0;
  }
  const float inverse = 127.0F / amax;
  for (uint32_t i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(RoundToEven(x[i] * inverse));
  }
  return amax / 127.0F;
}

// The sums of sixteen each.
template <size_t kSums>
void AddUp(const int8_t* q, int16_t (&sums)[kSums]) {
  for (size_t j = 0; j < kSums; ++j) {
    sums[j] = static_cast<int16_t>(std::accumulate(q + 16 * j, q + 16 * j + 16, 0));
  }
}

void Pack(const float* x, BlockQ8x32* block) {
  block->d = Quantize(x, BlockQ8x32::kElements, block->q);
  AddUp(block->q, block->sums);
}

void Pack(const float* x, BlockQ8x256* block) {
  block->d = Quantize(x, BlockQ8x256::kElements, block->q);
  AddUp(block->q, block->sums);
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
