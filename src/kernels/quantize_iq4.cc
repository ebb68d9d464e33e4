// IQ4_NL, IQ4_XS and MXFP4: codes are places in a table of sixteen values.
#include "kernels/quantize_scaled.h"
#include "kernels/tables.h"

namespace plimsoll::kernels {
namespace {

using IQ4Codes = TableCodes<kIQ4Values>;
using E2M1Codes = TableCodes<kE2M1DoubledValues>;

// Codes of 32 values: those of the first sixteen in the low nibbles.
template <class Set>
void PackIndices(std::span<const float, 32> codes, uint8_t* qs) {
  for (size_t i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>(Set::Index(codes[i]) | Set::Index(codes[i + 16]) << 4);
  }
}

}  // namespace

bool QuantizeBlock(const Weighted<32>& v, tensor::BlockIQ4_NL& out) {
  const auto fit = FitBlock<IQ4Codes>(v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  PackIndices<IQ4Codes>(fit->codes, out.qs);
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, tensor::BlockIQ4_XS& out) {
  const auto fit = SuperBlockFit<IntegerCodes<-32, 31>, IQ4Codes, 8>::Fit(v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  for (size_t j = 0; j < 8; ++j) {
    const auto scale = static_cast<unsigned>(static_cast<int>(fit->scales[j]) + 32);
    out.scales_l[j / 2] =
        static_cast<uint8_t>(out.scales_l[j / 2] | (scale & 15U) << (4 * (j % 2)));
    out.scales_h = static_cast<uint16_t>(out.scales_h | scale >> 4 << (2 * j));
    PackIndices<IQ4Codes>(std::span<const float, 32>(fit->codes.data() + 32 * j, 32),
                          out.qs + 16 * j);
  }
  return true;
}

// The scale is a power of two: the one at which the largest value has the largest code, or one of
// its neighbours.
bool QuantizeBlock(const Weighted<32>& v, tensor::BlockMXFP4& out) {
  constexpr int kLargestExponent = 254;  // 255 is no number
  const float largest = LargestMagnitude(v.x);
  out = {};
  if (largest == 0) {
    return true;
  }
  int exponent = 0;
  (void)std::frexp(largest / E2M1Codes::kLargest, &exponent);
  double best_error = -1;  // none yet
  for (int e = exponent + 126; e <= exponent + 129; ++e) {
    const auto tried = static_cast<uint8_t>(std::clamp(e, 0, kLargestExponent));
    const float scale = E8M0HalfToFloat(tried);
    const auto codes = NearestCodes<E2M1Codes>(v, scale);
    const double error = SquaredError(v, double{scale}, codes);
    if (best_error < 0 || error < best_error) {
      best_error = error;
      out.e = tried;
      PackIndices<E2M1Codes>(codes, out.qs);
    }
  }
  return true;
}

}  // namespace plimsoll::kernels
