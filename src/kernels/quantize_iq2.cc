// IQ2_XXS, IQ2_XS and IQ2_S: an index stands for eight magnitudes.
#include <cstring>

#include "kernels/codebooks.h"
#include "kernels/quantize_codebook.h"

namespace plimsoll::kernels {
namespace {

constexpr auto kMagnitude = [](unsigned digit) { return kIQ2Magnitudes[digit]; };
alignas(32) constexpr auto kIQ2XXSGrid = MakeGrid<8, 256>(kIQ2XXSCodebook, kMagnitude);
alignas(32) constexpr auto kIQ2XSGrid = MakeGrid<8, 512>(kIQ2XSCodebook, kMagnitude);
alignas(32) constexpr auto kIQ2SGrid = MakeGrid<8, 1024>(kIQ2SCodebook, kMagnitude);

struct IQ2 {
  static constexpr float kStep = 0.125F;
  static constexpr float kLargest = 43;
  static constexpr std::array<float, 9> kRatios = {0.65F, 0.75F, 0.85F, 0.95F, 1,
                                                   1.05F, 1.15F, 1.3F,  1.5F};
};

struct IQ2XXS : IQ2 {
  static constexpr const auto& kGrid = kIQ2XXSGrid;
  static constexpr size_t kPart = 32;
  static constexpr bool kEvenSigns = true;
};

struct IQ2XS : IQ2 {
  static constexpr const auto& kGrid = kIQ2XSGrid;
  static constexpr size_t kPart = 16;
  static constexpr bool kEvenSigns = true;
};

struct IQ2S : IQ2 {
  static constexpr const auto& kGrid = kIQ2SGrid;
  static constexpr size_t kPart = 16;
  static constexpr bool kEvenSigns = false;
};

template <class Out>
void PackNibbles(const std::array<uint8_t, 16>& codes, Out& out) {
  for (size_t j = 0; j < 8; ++j) {
    out[j] = static_cast<uint8_t>(codes[2 * j] | codes[2 * j + 1] << 4);
  }
}

}  // namespace

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                   tensor::BlockIQ2_XXS& out) {
  const auto fit = CodebookFit<IQ2XXS>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  for (size_t j = 0; j < 8; ++j) {
    uint32_t packed = static_cast<uint32_t>(fit->scales[j]) << 28;
    for (size_t i = 0; i < 4; ++i) {
      out.qs[8 * j + i] = static_cast<uint8_t>(fit->entries[4 * j + i]);
      packed |= (fit->signs[4 * j + i] & 127U) << (7 * i);
    }
    std::memcpy(out.qs + 8 * j + 4, &packed, sizeof packed);
  }
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search, tensor::BlockIQ2_XS& out) {
  const auto fit = CodebookFit<IQ2XS>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  for (size_t i = 0; i < 32; ++i) {
    const auto word = static_cast<uint16_t>(fit->entries[i] | (fit->signs[i] & 127) << 9);
    std::memcpy(out.qs + 2 * i, &word, sizeof word);
  }
  PackNibbles(fit->scales, out.scales);
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search, tensor::BlockIQ2_S& out) {
  const auto fit = CodebookFit<IQ2S>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  for (size_t i = 0; i < 32; ++i) {
    out.qs[i] = static_cast<uint8_t>(fit->entries[i]);
    out.signs[i] = fit->signs[i];
    out.qh[i / 4] = static_cast<uint8_t>(out.qh[i / 4] | fit->entries[i] >> 8 << (2 * (i % 4)));
  }
  PackNibbles(fit->scales, out.scales);
  return true;
}

}  // namespace plimsoll::kernels
