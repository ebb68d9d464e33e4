#include "kernels/codebook_search.h"

#include "kernels/avx2/avx2.h"
#include "kernels/ref/ref.h"

namespace plimsoll::kernels {

// Whatever runs AVX-512 runs AVX2.
const CodebookSearch& CodebookSearchOf(const KernelSet& set) {
  return &set == &ref::kKernelSet ? ref::kCodebookSearch : avx2::kCodebookSearch;
}

}  // namespace plimsoll::kernels
