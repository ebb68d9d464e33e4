#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/invariant.h"
#include "kernels/half.h"
#include "kernels/quantize_blocks.h"

namespace plimsoll::kernels {
namespace {

using tensor::DType;

// Each returns the first element that the type cannot hold, or values.size().

template <class Block>
size_t ToBlocks(std::span<const float> values, std::span<std::byte> out) {
  constexpr size_t kN = Block::kElements;
  for (size_t b = 0; b < values.size() / kN; ++b) {
    Block block;
    if (!QuantizeBlock(std::span<const float, kN>(values.subspan(b * kN, kN)), block)) {
      const auto of_block = values.subspan(b * kN, kN);
      const auto largest =
          std::ranges::max_element(of_block, {}, [](float value) { return std::fabs(value); });
      return b * kN + static_cast<size_t>(largest - of_block.begin());
    }
    std::memcpy(out.data() + b * sizeof(Block), &block, sizeof(Block));
  }
  return values.size();
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

size_t ToType(DType dtype, std::span<const float> values, std::span<std::byte> out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out.data(), values.data(), values.size_bytes());
      return values.size();
    case DType::kF16:
      return ToHalves<FloatToF16, 0x7C00>(values, out);
    case DType::kBF16:
      return ToHalves<FloatToBF16, 0x7F80>(values, out);
    case DType::kQ8_0:
      return ToBlocks<tensor::BlockQ8_0>(values, out);
    case DType::kQ4_0:
      return ToBlocks<tensor::BlockQ4_0>(values, out);
    case DType::kQ4_K:
      return ToBlocks<tensor::BlockQ4_K>(values, out);
    case DType::kQ6_K:
      return ToBlocks<tensor::BlockQ6_K>(values, out);
    default:
      break;
  }
  Invariant(false, "Quantize: a type that CanQuantize knows");
  return 0;
}

}  // namespace

bool CanQuantize(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_K:
    case DType::kQ6_K:
      return true;
    default:
      return false;
  }
}

Result<> Quantize(DType dtype, std::span<const float> values, std::span<std::byte> out) {
  Invariant(tensor::BytesFor(dtype, values.size()) == out.size(), "Quantize: sizes");
  const auto unfinite =
      std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
  if (unfinite != values.end()) {
    return Fail(ErrorKind::kBadModel, "value {} is {}, no finite number", unfinite - values.begin(),
                *unfinite);
  }
  const size_t refused = ToType(dtype, values, out);
  if (refused < values.size()) {
    return Fail(ErrorKind::kBadModel, "value {} is {}, too large for {}", refused, values[refused],
                tensor::Traits(dtype).name);
  }
  return {};
}

}  // namespace plimsoll::kernels
