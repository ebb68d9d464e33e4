#include "base/invariant.h"
#include "kernels/avx2/lanes.h"
#include "kernels/avx2/quantized.h"
#include "kernels/generic/quantized_matmul.h"
#include "kernels/generic/quantized_types_ternary.h"

namespace plimsoll::kernels::avx2 {

void MatMulQuantized256(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                        const Activations& x, float* y, size_t y_stride, std::byte* workspace) {
  using V = Avx2Lanes;
  using tensor::DType;
  const auto with = [&](auto* matmul) { matmul(w, row_begin, row_end, x, y, y_stride, workspace); };
  switch (w.dtype) {
    case DType::kQ4_K:
      return with(&MatMulType<V, LanesQ4_K<V>>);
    case DType::kQ5_K:
      return with(&MatMulType<V, LanesQ5_K<V>>);
    case DType::kQ6_K:
      return with(&MatMulType<V, LanesQ6_K<V>>);
    case DType::kQ2_K:
      return with(&MatMulType<V, LanesQ2_K<V>>);
    case DType::kQ3_K:
      return with(&MatMulType<V, LanesQ3_K<V>>);
    case DType::kIQ4_XS:
      return with(&MatMulType<V, LanesIQ4_XS<V>>);
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
    case DType::kIQ1_S:
    case DType::kIQ1_M:
      return MatMulQuantizedCodebook(w, row_begin, row_end, x, y, y_stride, workspace);
    case DType::kTQ1_0:
      return with(&MatMulType<V, LanesTQ1_0<V>>);
    case DType::kTQ2_0:
      return with(&MatMulType<V, LanesTQ2_0<V>>);
    default:
      InvariantBroken("a weight type with blocks of 256", std::source_location::current());
  }
}

}  // namespace plimsoll::kernels::avx2
