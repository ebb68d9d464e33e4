#include "kernels/ref/ref.h"

namespace plimsoll::kernels::ref {

constexpr KernelSet kKernelSet = {
    .name = "ref",
    .description = "plain C++, any x86-64",
    .supported = [] { return true; },
    .pack_activation = PackActivation,
    .matmul = MatMul,
    .matmul_workspace_bytes = MatMulWorkspaceBytes,
    .dequantize_row = DequantizeRow,
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

}  // namespace plimsoll::kernels::ref
