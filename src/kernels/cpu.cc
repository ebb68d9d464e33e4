#include "kernels/cpu.h"

#include <cpuid.h>

namespace plimsoll::kernels {
namespace {

// clang-16's __builtin_cpu_supports does not know this name.
bool CpuHasF16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

}  // namespace

bool CpuHasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && CpuHasF16c();
}

bool CpuHasAvx512() {
  return CpuHasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

bool CpuLosesStreamsAtPages() {
  static const bool kIsIntel = __builtin_cpu_is("intel");
  return kIsIntel;
}

}  // namespace plimsoll::kernels
