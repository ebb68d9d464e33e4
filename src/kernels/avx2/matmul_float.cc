#include "kernels/generic/matmul_float.h"

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vec.h"

namespace plimsoll::kernels::avx2 {

void MatMulFloat(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end,
                 const Activations& x, float* y, size_t y_stride, std::byte* workspace) {
  MatMulFloatOf<F32x16>(w, row_begin, row_end, x, y, y_stride, workspace);
}

size_t MatMulFloatWorkspaceBytes() { return kFloatWorkspaceBytes; }

}  // namespace plimsoll::kernels::avx2
