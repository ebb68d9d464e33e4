#include "base/invariant.h"
#include "kernels/avx512/lanes.h"
#include "kernels/avx512/quantized.h"
#include "kernels/generic/quantized_matmul.h"
#include "kernels/generic/quantized_types_codebook.h"

namespace plimsoll::kernels::avx512 {

void MatMulQuantizedCodebook(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                             const Activations& x, float* y, size_t y_stride,
                             std::byte* workspace) {
  using V = Avx512Lanes;
  using tensor::DType;
  const auto with = [&](auto* matmul) { matmul(w, row_begin, row_end, x, y, y_stride, workspace); };
  switch (w.dtype) {
    case DType::kIQ2_XXS:
      return with(&MatMulType<V, LanesIQ2_XXS<V>>);
    case DType::kIQ2_XS:
      return with(&MatMulType<V, LanesIQ2_XS<V>>);
    case DType::kIQ2_S:
      return with(&MatMulType<V, LanesIQ2_S<V>>);
    case DType::kIQ3_XXS:
      return with(&MatMulType<V, LanesIQ3_XXS<V>>);
    case DType::kIQ3_S:
      return with(&MatMulType<V, LanesIQ3_S<V>>);
    case DType::kIQ1_S:
      return with(&MatMulType<V, LanesIQ1_S<V>>);
    case DType::kIQ1_M:
      return with(&MatMulType<V, LanesIQ1_M<V>>);
    default:
      InvariantBroken("a weight type with a codebook", std::source_location::current());
  }
}

}  // namespace plimsoll::kernels::avx512
