#include "kernels/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/invariant.h"
#include "kernels/half.h"
#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {
namespace {

using tensor::DType;

// Each returns the first element that the type cannot hold, or values.size().

// What the squares of a block's errors count: in proportion to the importance of each value's
// place, with a mean of 1; all the same where there is none.
template <size_t kN>
std::array<float, kN> WeightsOf(std::span<const float> importance) {
  std::array<float, kN> weights;
  const double sum = std::accumulate(importance.begin(), importance.end(), 0.0);
  for (size_t i = 0; i < kN; ++i) {
    // Nothing counts nothing: a text shows no more than a part of what a model is asked.
    constexpr double kLeast = 1e-4;
    weights[i] =
        sum > 0 ? static_cast<float>((double{importance[i]} * kN / sum + kLeast) / (1 + kLeast))
                : 1.0F;
  }
  return weights;
}

// `quantize_block` gets the values and weights of a block, and the block.
template <class Block, class QuantizeOne>
size_t ToBlocksBy(std::span<const float> values, std::span<const float> importance,
                  std::span<std::byte> out, const QuantizeOne& quantize_block) {
  constexpr size_t kN = Block::kElements;
  for (size_t b = 0; b < values.size() / kN; ++b) {
    const auto of_block = std::span<const float, kN>(values.subspan(b * kN, kN));
    const auto weights =
        WeightsOf<kN>(importance.empty() ? importance : importance.subspan(b * kN, kN));
    Block block;
    if (!quantize_block(Weighted<kN>{of_block, weights}, block)) {
      const auto largest =
          std::ranges::max_element(of_block, {}, [](float value) { return std::fabs(value); });
      return b * kN + static_cast<size_t>(largest - of_block.begin());
    }
    std::memcpy(out.data() + b * sizeof(Block), &block, sizeof(Block));
  }
  return values.size();
}

template <class Block>
size_t ToBlocks(std::span<const float> values, std::span<const float> importance,
                std::span<std::byte> out) {
  return ToBlocksBy<Block>(values, importance, out,
                           [](const auto& v, Block& block) { return QuantizeBlock(v, block); });
}

template <class Block>
size_t ToBlocks(std::span<const float> values, std::span<const float> importance,
                std::span<std::byte> out, const CodebookSearch& search) {
  return ToBlocksBy<Block>(values, importance, out, [&search](const auto& v, Block& block) {
    return QuantizeBlock(v, search, block);
  });
}

template <uint16_t (*convert)(float), uint16_t infinity>
size_t ToHalves(std::span<const float> values, std::span<std::byte> out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = convert(values[i]);
    if ((half & 0x7FFFU) == infinity) {
      return i;
    }
    std::memcpy(out.data() + i * sizeof(half), &half, sizeof(half));
  }
  return values.size();
}

size_t ToType(DType dtype, std::span<const float> values, std::span<const float> importance,
              std::span<std::byte> out, const CodebookSearch& search) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out.data(), values.data(), values.size_bytes());
      return values.size();
    case DType::kF16:
      return ToHalves<FloatToF16, 0x7C00>(values, out);
    case DType::kBF16:
      return ToHalves<FloatToBF16, 0x7F80>(values, out);
    case DType::kQ4_0:
      return ToBlocks<tensor::BlockQ4_0>(values, importance, out);
    case DType::kQ4_1:
      return ToBlocks<tensor::BlockQ4_1>(values, importance, out);
    case DType::kQ5_0:
      return ToBlocks<tensor::BlockQ5_0>(values, importance, out);
    case DType::kQ5_1:
      return ToBlocks<tensor::BlockQ5_1>(values, importance, out);
    case DType::kQ8_0:
      return ToBlocks<tensor::BlockQ8_0>(values, importance, out);
    case DType::kQ2_K:
      return ToBlocks<tensor::BlockQ2_K>(values, importance, out);
    case DType::kQ3_K:
      return ToBlocks<tensor::BlockQ3_K>(values, importance, out);
    case DType::kQ4_K:
      return ToBlocks<tensor::BlockQ4_K>(values, importance, out);
    case DType::kQ5_K:
      return ToBlocks<tensor::BlockQ5_K>(values, importance, out);
    case DType::kQ6_K:
      return ToBlocks<tensor::BlockQ6_K>(values, importance, out);
    case DType::kIQ4_NL:
      return ToBlocks<tensor::BlockIQ4_NL>(values, importance, out);
    case DType::kIQ4_XS:
      return ToBlocks<tensor::BlockIQ4_XS>(values, importance, out);
    case DType::kMXFP4:
      return ToBlocks<tensor::BlockMXFP4>(values, importance, out);
    case DType::kNVFP4:
      return ToBlocks<tensor::BlockNVFP4>(values, importance, out);
    case DType::kTQ1_0:
      return ToBlocks<tensor::BlockTQ1_0>(values, importance, out);
    case DType::kTQ2_0:
      return ToBlocks<tensor::BlockTQ2_0>(values, importance, out);
    case DType::kIQ2_XXS:
      return ToBlocks<tensor::BlockIQ2_XXS>(values, importance, out, search);
    case DType::kIQ2_XS:
      return ToBlocks<tensor::BlockIQ2_XS>(values, importance, out, search);
    case DType::kIQ2_S:
      return ToBlocks<tensor::BlockIQ2_S>(values, importance, out, search);
    case DType::kIQ3_XXS:
      return ToBlocks<tensor::BlockIQ3_XXS>(values, importance, out, search);
    case DType::kIQ3_S:
      return ToBlocks<tensor::BlockIQ3_S>(values, importance, out, search);
    case DType::kIQ1_S:
      return ToBlocks<tensor::BlockIQ1_S>(values, importance, out, search);
    case DType::kIQ1_M:
      return ToBlocks<tensor::BlockIQ1_M>(values, importance, out, search);
  }
  Invariant(false, "Quantize: a DType is one of the supported types");
  return 0;
}

}  // namespace

Result<> Quantize(DType dtype, std::span<const float> values, std::span<const float> importance,
                  std::span<std::byte> out, const KernelSet& kernels) {
  Invariant(tensor::BytesFor(dtype, values.size()) == out.size(), "Quantize: sizes");
  Invariant(importance.empty() || importance.size() == values.size(), "Quantize: importance");
  const auto unfinite =
      std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
  if (unfinite != values.end()) {
    return Fail(ErrorKind::kBadModel, "value {} is {}, no finite number", unfinite - values.begin(),
                *unfinite);
  }
  const size_t refused = ToType(dtype, values, importance, out, CodebookSearchOf(kernels));
  if (refused < values.size()) {
    return Fail(ErrorKind::kBadModel, "value {} is {}, too large for {}", refused, values[refused],
                tensor::Traits(dtype).name);
  }
  return {};
}

}  // namespace plimsoll::kernels
