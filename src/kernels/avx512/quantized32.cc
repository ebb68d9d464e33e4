#include "base/invariant.h"
#include "kernels/avx512/lanes.h"
#include "kernels/avx512/quantized.h"
#include "kernels/generic/quantized_matmul.h"

namespace plimsoll::kernels::avx512 {

void MatMulQuantized32(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                       const Activations& x, float* y, size_t y_stride, std::byte* workspace) {
  using V = Avx512Lanes;
  using tensor::DType;
  const auto with = [&](auto* matmul) { matmul(w, row_begin, row_end, x, y, y_stride, workspace); };
  switch (w.dtype) {
    case DType::kQ8_0:
      return with(&MatMulType<V, LanesQ8_0<V>>);
    case DType::kQ4_0:
      return with(&MatMulType<V, LanesQ4_0<V>>);
    case DType::kQ4_1:
      return with(&MatMulType<V, LanesQ4_1<V>>);
    case DType::kQ5_0:
      return with(&MatMulType<V, LanesQ5_0<V>>);
    case DType::kQ5_1:
      return with(&MatMulType<V, LanesQ5_1<V>>);
    case DType::kIQ4_NL:
      return with(&MatMulType<V, LanesIQ4_NL<V>>);
    case DType::kMXFP4:
      return with(&MatMulType<V, LanesMXFP4<V>>);
    case DType::kNVFP4:
      return with(&MatMulType<V, LanesNVFP4<V>>);
    default:
      InvariantBroken("a weight type with blocks of 32 or 64", std::source_location::current());
  }
}

}  // namespace plimsoll::kernels::avx512
