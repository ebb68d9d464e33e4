// Which instruction sets this CPU, and the operating system's saving of its registers, offer.
// Compiled for any x86-64, unlike the sets that it guards.
#pragma once

namespace plimsoll::kernels {

// AVX2 with FMA and F16C.
[[nodiscard]] bool CpuHasAvx2();
// AVX-512 F, BW, DQ, VL and VNNI, and all of CpuHasAvx2().
[[nodiscard]] bool CpuHasAvx512();
// Whether the processor follows a stream of reads within a page of 4 KiB and has to find it again
// in the next one, as Intel's do.
[[nodiscard]] bool CpuLosesStreamsAtPages();

}  // namespace plimsoll::kernels
