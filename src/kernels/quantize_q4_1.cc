// Q4_1 and Q5_1: 32 values with one scale and one offset, both F16.
#include "kernels/quantize_line.h"

namespace plimsoll::kernels {
namespace {

struct Halves {
  uint16_t d = 0;
  uint16_t m = 0;
};

// The offset that suits the codes and the scale that F16 has.
template <class Lines>
float OffsetFor(const Weighted<32>& v, float scale, const typename Lines::Codes& codes) {
  const double weights = Sum<32>([&](size_t i) { return v.w[i]; });
  const double rest =
      Sum<32>([&](size_t i) { return v.w[i] * (v.x[i] - double{scale} * codes[i]); });
  return static_cast<float>(rest / weights);
}

template <int kHighestCode>
bool FitHalves(const Weighted<32>& v, Halves& halves, std::array<float, 32>& codes) {
  using Lines = LineFit<32, kHighestCode, false>;
  if (LargestMagnitude(v.x) > kF16Max * kHighestCode) {
    return false;
  }
  const Line line = Lines::Best(v);
  halves.d = ScaleBits(line.scale);
  const float scale = F16ToFloat(halves.d);
  const float offset = OffsetFor<Lines>(v, scale, Lines::NearestCodes(v, {scale, line.minimum}));
  halves.m = FloatToF16(offset);
  const float rounded = F16ToFloat(halves.m);
  codes = Lines::NearestCodes(v, {scale, -rounded});
  return scale <= kF16Max && std::fabs(rounded) <= kF16Max;
}

// Returns the code without its fifth bit.
uint8_t LowFour(float code) { return static_cast<uint8_t>(static_cast<int>(code) & 15); }

}  // namespace

bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ4_1& out) {
  Halves halves;
  std::array<float, 32> codes;
  if (!FitHalves<15>(v, halves, codes)) {
    return false;
  }
  out.d = halves.d;
  out.m = halves.m;
  for (size_t i = 0; i < 16; ++i) {
    out.qs[i] = static_cast<uint8_t>(LowFour(codes[i]) | LowFour(codes[i + 16]) << 4);
  }
  return true;
}

bool QuantizeBlock(const Weighted<32>& v, tensor::BlockQ5_1& out) {
  Halves halves;
  std::array<float, 32> codes;
  if (!FitHalves<31>(v, halves, codes)) {
    return false;
  }
  out = {};
  out.d = halves.d;
  out.m = halves.m;
  for (size_t i = 0; i < 16; ++i) {
    out.qs[i] = static_cast<uint8_t>(LowFour(codes[i]) | LowFour(codes[i + 16]) << 4);
  }
  for (size_t i = 0; i < 32; ++i) {
    out.qh[i / 8] =
        static_cast<uint8_t>(out.qh[i / 8] | static_cast<int>(codes[i]) >> 4 << (i % 8));
  }
  return true;
}

}  // namespace plimsoll::kernels
