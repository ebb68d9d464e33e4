#include "kernels/avx512/quantized.h"

#include "kernels/avx512/lanes.h"
#include "kernels/generic/quantized_matmul.h"

namespace plimsoll::kernels::avx512 {

void MatMulQuantized(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                     const Activations& x, float* y, size_t y_stride, std::byte* workspace) {
  if (x.format == ActivationFormat::kQ8x32) {
    MatMulQuantized32(w, row_begin, row_end, x, y, y_stride, workspace);
  } else {
    MatMulQuantized256(w, row_begin, row_end, x, y, y_stride, workspace);
  }
}

size_t MatMulQuantizedWorkspaceBytes() { return QuantizedWorkspaceBytes<Avx512Lanes>(); }

}  // namespace plimsoll::kernels::avx512
