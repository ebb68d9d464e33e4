// Q6_K and Q3_K: sixteen sub-blocks of 16 values, each with a signed scale, under one F16 factor.
#include "kernels/quantize_scaled.h"

namespace plimsoll::kernels {
namespace {

// The low four bits of runs 0 and 1 of a half's four runs of 32 values are low nibbles of 32 bytes
// each, those of runs 2 and 3 the high ones; the upper two bits of the four share a byte.
void PackCode(size_t i, float code, tensor::BlockQ6_K& out) {
  const auto bits = static_cast<unsigned>(static_cast<int>(code) + 32);
  const size_t half = i / 128;
  const size_t run = i / 32 % 4;
  const size_t at = i % 32;
  uint8_t& low = out.ql[64 * half + 32 * (run % 2) + at];
  low = static_cast<uint8_t>(low | (bits & 15U) << (run < 2 ? 0 : 4));
  uint8_t& high = out.qh[32 * half + at];
  high = static_cast<uint8_t>(high | bits >> 4 << (2 * run));
}

// The low two bits of a half's four runs of 32 values share a byte; the third bits of all eight
// runs too.
void PackCode(size_t i, float code, tensor::BlockQ3_K& out) {
  const auto bits = static_cast<unsigned>(static_cast<int>(code) + 4);
  const size_t run = i / 32;
  const size_t at = i % 32;
  uint8_t& low = out.qs[32 * (run / 4) + at];
  low = static_cast<uint8_t>(low | (bits & 3U) << (2 * (run % 4)));
  out.hmask[at] = static_cast<uint8_t>(out.hmask[at] | bits >> 2 << run);
}

// Low nibbles of the first eight bytes, then high ones; the upper two bits of four share one of the
// last four.
void PackScale(size_t j, float scale, tensor::BlockQ3_K& out) {
  const auto bits = static_cast<unsigned>(static_cast<int>(scale) + 32);
  out.scales[j % 8] = static_cast<uint8_t>(out.scales[j % 8] | (bits & 15U) << (j < 8 ? 0 : 4));
  uint8_t& high = out.scales[8 + j % 4];
  high = static_cast<uint8_t>(high | bits >> 4 << (2 * (j / 4)));
}

}  // namespace

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ6_K& out) {
  const auto fit = SuperBlockFit<IntegerCodes<-128, 127>, IntegerCodes<-32, 31>, 16>::Fit(v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  std::ranges::transform(fit->scales, out.scales,
                         [](float scale) { return static_cast<int8_t>(scale); });
  for (size_t i = 0; i < 256; ++i) {
    PackCode(i, fit->codes[i], out);
  }
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockQ3_K& out) {
  const auto fit = SuperBlockFit<IntegerCodes<-32, 31>, IntegerCodes<-4, 3>, 16>::Fit(v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  for (size_t j = 0; j < 16; ++j) {
    PackScale(j, fit->scales[j], out);
  }
  for (size_t i = 0; i < 256; ++i) {
    PackCode(i, fit->codes[i], out);
  }
  return true;
}

}  // namespace plimsoll::kernels
