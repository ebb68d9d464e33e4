// Q4_K, Q5_K and Q2_K: sub-blocks of 32 values, or 16 in Q2_K, each with a scale and a minimum,
// under two F16 factors.
#include "kernels/quantize_line.h"

namespace plimsoll::kernels {
namespace {

// Scales and minima 0-3 are the low six bits of bytes 0-3 and 4-7; of 4-7 the low nibbles lie in
// bytes 8-11 and the upper two bits on top of bytes 0-7.
void PackSixBits(const LineSuperBlock<8>& block, uint8_t* out) {
  for (size_t j = 0; j < 4; ++j) {
    const uint32_t scale = block.scales[j + 4];
    const uint32_t minimum = block.minima[j + 4];
    out[j] = static_cast<uint8_t>(block.scales[j] | scale >> 4 << 6);
    out[j + 4] = static_cast<uint8_t>(block.minima[j] | minimum >> 4 << 6);
    out[j + 8] = static_cast<uint8_t>((scale & 15U) | (minimum & 15U) << 4);
  }
}

// Two sub-blocks share 32 bytes: the first in the low nibbles.
void PackLowNibbles(const LineSuperBlock<8>& block, uint8_t* qs) {
  for (size_t i = 0; i < 128; ++i) {
    const size_t first = 64 * (i / 32) + i % 32;
    qs[i] = static_cast<uint8_t>((block.codes[first] & 15) | (block.codes[first + 32] & 15) << 4);
  }
}

template <class Fitted, class Block>
void SetFactors(const Fitted& fit, Block& out) {
  out.d = fit.d;
  out.dmin = fit.dmin;
}

}  // namespace

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ4_K& out) {
  const auto fit = LineSuperBlockFit<8, 15, 63>::Fit(v);
  if (!fit) {
    return false;
  }
  SetFactors(*fit, out);
  PackSixBits(*fit, out.scales);
  PackLowNibbles(*fit, out.qs);
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ5_K& out) {
  const auto fit = LineSuperBlockFit<8, 31, 63>::Fit(v);
  if (!fit) {
    return false;
  }
  out = {};
  SetFactors(*fit, out);
  PackSixBits(*fit, out.scales);
  PackLowNibbles(*fit, out.qs);
  for (size_t i = 0; i < 256; ++i) {
    uint8_t& fifths = out.qh[i % 32];
    fifths = static_cast<uint8_t>(fifths | fit->codes[i] >> 4 << (i / 32));
  }
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ2_K& out) {
  const auto fit = LineSuperBlockFit<16, 3, 15>::Fit(v);
  if (!fit) {
    return false;
  }
  out = {};
  SetFactors(*fit, out);
  for (size_t j = 0; j < 16; ++j) {
    out.scales[j] = static_cast<uint8_t>(fit->scales[j] | fit->minima[j] << 4);
  }
  for (size_t i = 0; i < 256; ++i) {  // four runs of 32 share 32 bytes
    uint8_t& four = out.qs[32 * (i / 128) + i % 32];
    four = static_cast<uint8_t>(four | fit->codes[i] << (2 * (i / 32 % 4)));
  }
  return true;
}

}  // namespace plimsoll::kernels
