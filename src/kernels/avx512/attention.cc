#include "kernels/generic/attention.h"

#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vec.h"

namespace plimsoll::kernels::avx512 {

void Attention(const AttentionArgs& args) { AttentionOf<F32x16>(args); }

}  // namespace plimsoll::kernels::avx512
