// Q8_0, Q4_0 and Q5_0: 32 values with one scale.
#include "kernels/quantize_scaled.h"

namespace plimsoll::kernels {
namespace {

uint8_t NibblePair(int low, int high) { return static_cast<uint8_t>(low | high << 4); }

}  // namespace

// At eight bits every value is near enough to its multiple for none to count more than another.
bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ8_0& out) {
  out.d = ScaleBitsFor(LargestMagnitude(v.x), 127);
  const float scale = F16ToFloat(out.d);
  if (scale > kF16Max) {
    return false;
  }
  for (size_t i = 0; i < 32; ++i) {
    out.qs[i] =
        scale == 0 ? int8_t{0} : static_cast<int8_t>(NearestCode(v.x[i] / scale, -127, 127));
  }
  return true;
}

bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ4_0& out) {
  const auto fit = FitBlock<IntegerCodes<-8, 7>>(v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  const auto bits = [&fit](size_t i) { return static_cast<int>(fit->codes[i]) + 8; };
  for (size_t i = 0; i < 16; ++i) {
    out.qs[i] = NibblePair(bits(i), bits(i + 16));
  }
  return true;
}

bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ5_0& out) {
  const auto fit = FitBlock<IntegerCodes<-16, 15>>(v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  const auto bits = [&fit](size_t i) { return static_cast<int>(fit->codes[i]) + 16; };
  for (size_t i = 0; i < 16; ++i) {
    out.qs[i] = NibblePair(bits(i) & 15, bits(i + 16) & 15);
  }
  for (size_t i = 0; i < 32; ++i) {
    out.qh[i / 8] = static_cast<uint8_t>(out.qh[i / 8] | bits(i) >> 4 << (i % 8));
  }
  return true;
}

}  // namespace plimsoll::kernels
