// IQ3_XXS and IQ3_S: an index stands for four magnitudes.
#include <cstring>

#include "kernels/codebooks.h"
#include "kernels/quantize_codebook.h"

namespace plimsoll::kernels {
namespace {

alignas(32) constexpr auto kIQ3XXSGrid = MakeGrid<4, 256>(kIQ3XXSCodebook, [](unsigned digit) {
  return kIQ3XXSMagnitudes[digit & 7];
});
alignas(32) constexpr auto kIQ3SGrid = MakeGrid<4, 512>(kIQ3SCodebook, [](unsigned digit) {
  return 2 * digit + 1;
});

struct IQ3 {
  static constexpr size_t kPart = 32;
  static constexpr std::array<float, 9> kRatios = {0.8F,  0.85F, 0.9F, 0.95F, 1,
                                                   1.05F, 1.1F,  1.2F, 1.35F};
};

struct IQ3XXS : IQ3 {
  static constexpr const auto& kGrid = kIQ3XXSGrid;
  static constexpr bool kEvenSigns = true;
  static constexpr float kStep = 0.25F;
  static constexpr float kLargest = 62;
};

struct IQ3S : IQ3 {
  static constexpr const auto& kGrid = kIQ3SGrid;
  static constexpr bool kEvenSigns = false;
  static constexpr float kStep = 1;
  static constexpr float kLargest = 15;
};

}  // namespace

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search,
                   tensor::BlockIQ3_XXS& out) {
  const auto fit = CodebookFit<IQ3XXS>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out.d = fit->d;
  for (size_t i = 0; i < 64; ++i) {
    out.qs[i] = static_cast<uint8_t>(fit->entries[i]);
  }
  for (size_t j = 0; j < 8; ++j) {
    uint32_t packed = static_cast<uint32_t>(fit->scales[j]) << 28;
    for (size_t i = 0; i < 4; ++i) {
      packed |= (fit->signs[4 * j + i] & 127U) << (7 * i);
    }
    std::memcpy(out.signs + 4 * j, &packed, sizeof packed);
  }
  return true;
}

bool QuantizeBlock(const Weighted<256>& v, const CodebookSearch& search, tensor::BlockIQ3_S& out) {
  const auto fit = CodebookFit<IQ3S>::Fit(search, v);
  if (!fit) {
    return false;
  }
  out = {};
  out.d = fit->d;
  for (size_t i = 0; i < 64; ++i) {
    out.qs[i] = static_cast<uint8_t>(fit->entries[i]);
    out.qh[i / 8] = static_cast<uint8_t>(out.qh[i / 8] | fit->entries[i] >> 8 << (i % 8));
  }
  std::ranges::copy(fit->signs, out.signs);
  for (size_t j = 0; j < 4; ++j) {
    out.scales[j] = static_cast<uint8_t>(fit->scales[2 * j] | fit->scales[2 * j + 1] << 4);
  }
  return true;
}

}  // namespace plimsoll::kernels
