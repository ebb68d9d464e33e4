#include "kernels/activation.h"

#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::kernels {

using tensor::DType;

ActivationFormat ActivationFormatFor(DType weight) {
  switch (weight) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return ActivationFormat::kF32;
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kIQ4_NL:
    case DType::kMXFP4:
    case DType::kNVFP4:
      return ActivationFormat::kQ8x32;
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
    case DType::kIQ4_XS:
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
    case DType::kIQ1_S:
    case DType::kIQ1_M:
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      return ActivationFormat::kQ8x256;
  }
  InvariantBroken("a DType is one of the supported types", std::source_location::current());
}

size_t ActivationRowBytes(ActivationFormat format, uint64_t k) {
  constexpr size_t kAlignment = 64;
  switch (format) {
    case ActivationFormat::kF32:
      return AlignUp<size_t>(k * sizeof(float), kAlignment);
    case ActivationFormat::kQ8x32:
      return AlignUp<size_t>(k / BlockQ8x32::kElements * sizeof(BlockQ8x32), kAlignment);
    case ActivationFormat::kQ8x256:
      return AlignUp<size_t>(k / BlockQ8x256::kElements * sizeof(BlockQ8x256), kAlignment);
  }
  InvariantBroken("an ActivationFormat is one of the three", std::source_location::current());
}

}  // namespace plimsoll::kernels
