#include "kernels/avx512/avx512.h"
#include "kernels/avx512/quantized.h"
#include "kernels/cpu.h"
#include "kernels/ref/ref.h"

namespace plimsoll::kernels::avx512 {
namespace {

void MatMul(const tensor::Matrix& w, uint64_t row_begin, uint64_t row_end, const Activations& x,
            float* y, size_t y_stride, std::byte* workspace) {
  switch (w.dtype) {
    case tensor::DType::kF32:
    case tensor::DType::kF16:
    case tensor::DType::kBF16:
      MatMulFloat(w, row_begin, row_end, x, y, y_stride, workspace);
      break;
    case tensor::DType::kQ8_0:
    case tensor::DType::kQ4_0:
    case tensor::DType::kQ4_1:
    case tensor::DType::kQ5_0:
    case tensor::DType::kQ5_1:
    case tensor::DType::kQ2_K:
    case tensor::DType::kQ3_K:
    case tensor::DType::kQ4_K:
    case tensor::DType::kQ5_K:
    case tensor::DType::kQ6_K:
    case tensor::DType::kIQ4_NL:
    case tensor::DType::kIQ4_XS:
    case tensor::DType::kIQ2_XXS:
    case tensor::DType::kIQ2_XS:
    case tensor::DType::kIQ2_S:
    case tensor::DType::kIQ3_XXS:
    case tensor::DType::kIQ3_S:
    case tensor::DType::kIQ1_S:
    case tensor::DType::kIQ1_M:
    case tensor::DType::kTQ1_0:
    case tensor::DType::kTQ2_0:
    case tensor::DType::kMXFP4:
    case tensor::DType::kNVFP4:
      MatMulQuantized(w, row_begin, row_end, x, y, y_stride, workspace);
      break;
  }
  ref::ScaleProducts(w, row_end - row_begin, x.n_rows, y, y_stride);
}

size_t MatMulWorkspaceBytes(uint64_t /*k*/) {
  const size_t floats = MatMulFloatWorkspaceBytes();
  const size_t quantized = MatMulQuantizedWorkspaceBytes();
  return floats > quantized ? floats : quantized;
}

}  // namespace

// Constant data: nothing of this file runs before `supported`, which is compiled for any CPU.
constexpr KernelSet kKernelSet = {
    .name = "avx512",
    .description = "AVX-512 (F, BW, DQ, VL) with VNNI",
    .supported = CpuHasAvx512,
    .pack_activation = PackActivation,
    .matmul = MatMul,
    .matmul_workspace_bytes = MatMulWorkspaceBytes,
    .dequantize_row = ref::DequantizeRow,
    .attention = Attention,
    .attention_weights = AttentionWeights,
    .attention_workspace_bytes = AttentionWorkspaceBytes,
    .rms_norm = RmsNorm,
    .silu_mul = SiluMul,
    .swiglu_clamped = SwigluClamped,
    .gelu_mul = GeluMul,
    .add = Add,
    .axpy = Axpy,
    .softmax = Softmax,
    .sigmoid = Sigmoid,
    .sigmoid_mul = SigmoidMul,
    .short_conv = ShortConv,
    .delta_rule = DeltaRule,
    .to_f16 = ToF16,
    .rope = Rope,
};

}  // namespace plimsoll::kernels::avx512
