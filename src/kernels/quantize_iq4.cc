// IQ4_NL, IQ4_XS, MXFP4 and NVFP4: codes are places in a table of sixteen values.
#include "kernels/quantize_scaled.h"
#include "kernels/tables.h"

namespace plimsoll::kernels {
namespace {

using IQ4Codes = TableCodes<kIQ4Values>;
using E2M1Codes = TableCodes<kE2M1DoubledValues>;

// Codes of kN values: those of the first half in the low nibbles.
template <class Set, size_t kN>
void PackIndices(std::span<const float, kN> codes, uint8_t* qs) {
  for (size_t i = 0; i < kN / 2; ++i) {
    qs[i] = static_cast<uint8_t>(Set::Index(codes[i]) | Set::Index(codes[i + kN / 2]) << 4);
  }
}

}  // namespace

bool QuantizeBlock(const Weighted<32>& v, tensor::BlockIQ4_NL& out) {
  const auto fit = FitBlock<IQ4Codes>(v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  PackIndices<IQ4Codes, 32>(fit->codes, out.qs);
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
    PackIndices<IQ4Codes, 32>(std::span<const float, 32>(fit->codes.data() + 32 * j, 32),
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
      PackIndices<E2M1Codes, 32>(codes, out.qs);
    }
  }
  return true;
}

// The scales are few enough to try all that can be best: from those at which the largest value is
// cut off a little to those at which it has half the largest code.
bool QuantizeBlock(const Weighted<64>& v, tensor::BlockNVFP4& out) {
  constexpr uint8_t kLargestScale = 0x7E;  // 0x7F is no number
  constexpr int kFewerSteps = 4;           // of an eighth to a sixteenth each
  constexpr int kMoreSteps = 8;            // a power of two
  out = {};
  for (size_t j = 0; j < 4; ++j) {
    const auto sixteen = v.Part<16>(j);
    const float largest = LargestMagnitude(sixteen.x);
    if (largest == 0) {
      continue;
    }
    if (largest > E2M1Codes::kLargest * UE4M3HalfToFloat(kLargestScale)) {
      return false;
    }
    int reaching = 1;
    while (E2M1Codes::kLargest * UE4M3HalfToFloat(static_cast<uint8_t>(reaching)) < largest) {
      ++reaching;
    }
    double best_error = -1;  // none yet
    for (int step = -kFewerSteps; step <= kMoreSteps; ++step) {
      const auto tried = static_cast<uint8_t>(std::clamp<int>(reaching + step, 1, kLargestScale));
      const float scale = UE4M3HalfToFloat(tried);
      const auto codes = NearestCodes<E2M1Codes>(sixteen, scale);
      const double error = SquaredError(sixteen, double{scale}, codes);
      if (best_error < 0 || error < best_error) {
        best_error = error;
        out.scales[j] = tried;
        PackIndices<E2M1Codes, 16>(codes, out.qs + 8 * j);
      }
    }
  }
  return true;
}

}  // namespace plimsoll::kernels
