// The values that 4-bit codes of IQ4_NL, IQ4_XS, MXFP4 and NVFP4 stand for. From ggml-common.h and
// the OCP Microscaling Formats specification v1.0.
#pragma once

#include <array>
#include <cstdint>

namespace plimsoll::kernels {

inline constexpr std::array<int8_t, 16> kIQ4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

// E2M1 doubled, so that all are integers; the scale is halved instead.
inline constexpr std::array<int8_t, 16> kE2M1DoubledValues = {0, 1,  2,  3,  4,  6,  8,  12,
                                                              0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace plimsoll::kernels
