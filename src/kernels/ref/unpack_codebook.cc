// The IQ1, IQ2 and IQ3 types: an index into a codebook stands for eight or four weights.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

#include "kernels/codebooks.h"
#include "kernels/half.h"
#include "kernels/ref/unpack.h"

namespace plimsoll::kernels::ref {
namespace {

// Scales are in steps of `step` of the block's own, which keeps them exact.
void StartCodebook(tensor::F16Bits d, float step, Unpacked256* out) {
  out->d = F16ToFloat(d) * step;
  out->dmin = 0;
  std::fill(std::begin(out->minima), std::end(out->minima), int16_t{0});
}

uint32_t Dword(const uint8_t* p) {
  uint32_t x = 0;
  std::memcpy(&x, p, sizeof x);
  return x;
}

uint32_t Word(const uint8_t* p) {
  uint16_t x = 0;
  std::memcpy(&x, p, sizeof x);
  return x;
}

uint32_t Nibble(std::span<const uint8_t> bytes, size_t i) {
  return bytes[i / 2] >> (4 * (i % 2)) & 15;
}

int16_t OddScale(uint32_t scale) { return static_cast<int16_t>(2 * scale + 1); }

// Scale j of 32 elements, which Unpacked256 has twice.
void SetScaleOf32(size_t j, uint32_t scale, Unpacked256* out) {
  out->scales[2 * j] = out->scales[2 * j + 1] = OddScale(scale);
}

// Seven signs are stored; the eighth makes the number of those set even.
uint32_t EightSigns(uint32_t seven) {
  return seven | static_cast<uint32_t>(std::popcount(seven) % 2) << 7;
}

int8_t WithSign(int magnitude, uint32_t signs, size_t i) {
  return static_cast<int8_t>((signs >> i & 1) != 0 ? -magnitude : magnitude);
}

void SetEightIQ2(uint16_t entry, uint32_t signs, int8_t* w) {
  for (size_t i = 0; i < 8; ++i) {
    w[i] = WithSign(kIQ2Magnitudes[entry >> (2 * i) & 3], signs, i);
  }
}

// The eight weights 8 g + 1, or 8 g - 1 if `is_less`, with g = -1, 0, 1.
void SetEightIQ1(uint32_t index, bool is_less, int8_t* w) {
  for (size_t i = 0; i < 8; ++i) {
    const int g = (kIQ1Codebook[index] >> (2 * i) & 3) - 1;
    w[i] = static_cast<int8_t>(8 * g + (is_less ? -1 : 1));
  }
}

}  // namespace

void Unpack(const tensor::BlockIQ2_XXS& block, Unpacked256* out) {
  StartCodebook(block.d, 0.125F, out);
  for (size_t j = 0; j < 8; ++j) {
    const uint8_t* const indices = block.qs + 8 * j;
    const uint32_t signs = Dword(indices + 4);
    SetScaleOf32(j, signs >> 28, out);
    for (size_t i = 0; i < 4; ++i) {
      SetEightIQ2(kIQ2XXSCodebook[indices[i]], EightSigns(signs >> (7 * i) & 127),
                  out->w + 32 * j + 8 * i);
    }
  }
}

void Unpack(const tensor::BlockIQ2_XS& block, Unpacked256* out) {
  StartCodebook(block.d, 0.125F, out);
  for (size_t j = 0; j < 16; ++j) {
    out->scales[j] = OddScale(Nibble(block.scales, j));
  }
  for (size_t i = 0; i < 32; ++i) {
    const uint32_t word = Word(block.qs + 2 * i);
    SetEightIQ2(kIQ2XSCodebook[word & 511], EightSigns(word >> 9), out->w + 8 * i);
  }
}

void Unpack(const tensor::BlockIQ2_S& block, Unpacked256* out) {
  StartCodebook(block.d, 0.125F, out);
  for (size_t j = 0; j < 16; ++j) {
    out->scales[j] = OddScale(Nibble(block.scales, j));
  }
  for (size_t i = 0; i < 32; ++i) {
    const uint32_t high = block.qh[i / 4] >> (2 * (i % 4)) & 3;
    SetEightIQ2(kIQ2SCodebook[block.qs[i] | high << 8], block.signs[i], out->w + 8 * i);
  }
}

void Unpack(const tensor::BlockIQ3_XXS& block, Unpacked256* out) {
  StartCodebook(block.d, 0.25F, out);
  for (size_t j = 0; j < 8; ++j) {
    const uint32_t packed = Dword(block.signs + 4 * j);
    SetScaleOf32(j, packed >> 28, out);
    for (size_t i = 0; i < 32; ++i) {
      const uint32_t signs = EightSigns(packed >> (7 * (i / 8)) & 127);
      const uint32_t digit = kIQ3XXSCodebook[block.qs[8 * j + i / 4]] >> (4 * (i % 4)) & 15U;
      out->w[32 * j + i] = WithSign(kIQ3XXSMagnitudes[digit], signs, i % 8);
    }
  }
}

void Unpack(const tensor::BlockIQ3_S& block, Unpacked256* out) {
  StartCodebook(block.d, 1, out);
  for (size_t j = 0; j < 8; ++j) {
    SetScaleOf32(j, Nibble(block.scales, j), out);
  }
  for (size_t i = 0; i < 256; ++i) {
    const size_t at = i / 4;
    const uint32_t high = block.qh[at / 8] >> (at % 8) & 1;
    const int digit = kIQ3SCodebook[block.qs[at] | high << 8] >> (4 * (i % 4)) & 15;
    out->w[i] = WithSign(2 * digit + 1, block.signs[i / 8], i % 8);
  }
}

void Unpack(const tensor::BlockIQ1_S& block, Unpacked256* out) {
  StartCodebook(block.d, 0.125F, out);
  for (size_t j = 0; j < 8; ++j) {
    const uint32_t word = Word(block.qh + 2 * j);
    SetScaleOf32(j, word >> 12 & 7, out);
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t high = word >> (3 * i) & 7;
      SetEightIQ1(block.qs[4 * j + i] | high << 8, word >> 15 != 0, out->w + 32 * j + 8 * i);
    }
  }
}

void Unpack(const tensor::BlockIQ1_M& block, Unpacked256* out) {
  uint32_t d = 0;
  for (size_t j = 0; j < 4; ++j) {
    const uint32_t word = Word(block.scales + 2 * j);
    d |= word >> 12 << (4 * j);
    for (size_t i = 0; i < 4; ++i) {
      out->scales[4 * j + i] = OddScale(word >> (3 * i) & 7);
    }
  }
  StartCodebook(static_cast<tensor::F16Bits>(d), 0.125F, out);
  for (size_t i = 0; i < 32; ++i) {
    const uint32_t high = Nibble(block.qh, i);
    SetEightIQ1(block.qs[i] | (high & 7) << 8, high >> 3 != 0, out->w + 8 * i);
  }
}

}  // namespace plimsoll::kernels::ref
