// kernels/cpu.h for a program whose AVX-512 is emulated on AVX2.
#include "kernels/cpu.h"

namespace plimsoll::kernels {

bool CpuHasAvx2() { return __builtin_cpu_supports("avx2"); }
bool CpuHasAvx512() { return CpuHasAvx2(); }
bool CpuLosesStreamsAtPages() { return false; }

}  // namespace plimsoll::kernels
