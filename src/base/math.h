// exp and log whose bits no math library decides: libm picks its code by the CPU it runs on, so its
// last bit may differ between machines, and a sampled token must not.
#pragma once

namespace plimsoll {

// Within 2 units in the last place of e^x; 0 below -745.2, infinity above 709.7. NaN for NaN.
[[nodiscard]] double StableExp(double x);

// Within 2 units in the last place of ln x for x > 0; -infinity at 0, NaN below. Subnormals count.
[[nodiscard]] double StableLog(double x);

}  // namespace plimsoll
