#include "kernels/peak_loops.h"

#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/ref/ref.h"

namespace plimsoll::kernels {

const PeakLoops& PeakLoopsOf(const KernelSet& set) {
  if (&set == &avx512::kKernelSet) {
    return avx512::kPeakLoops;
  }
  return &set == &avx2::kKernelSet ? avx2::kPeakLoops : ref::kPeakLoops;
}

}  // namespace plimsoll::kernels
