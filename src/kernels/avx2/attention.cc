#include "kernels/generic/attention.h"

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vec.h"
#include "kernels/generic/attention_weights.h"

namespace plimsoll::kernels::avx2 {

void Attention(const AttentionArgs* heads, size_t n_heads) { AttentionOf<F32x16>(heads, n_heads); }

void AttentionWeights(const AttentionArgs& args, float* sums) {
  AttentionWeightsOf<F32x16>(args, sums);
}

size_t AttentionWorkspaceBytes(uint32_t head_dim_k, uint32_t head_dim_v) {
  return AttentionWorkspaceBytesOf(head_dim_k, head_dim_v);
}

}  // namespace plimsoll::kernels::avx2
