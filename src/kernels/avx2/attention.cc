#include "kernels/generic/attention.h"

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vec.h"

namespace plimsoll::kernels::avx2 {

void Attention(const AttentionArgs& args) { AttentionOf<F32x16>(args); }

}  // namespace plimsoll::kernels::avx2
