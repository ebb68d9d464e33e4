// Elementary functions in double, the same bits on every machine: RoPE's angles and frequencies are
// made with them and rounded to float once (docs/numerics.md, "Elementary functions"). Accurate to
// a few ulp of a double; meant for tables, not for hot loops.
#pragma once

namespace plimsoll::kernels {

// |x| <= 2^30, more than any position; beyond, accuracy is lost but not determinism.
[[nodiscard]] double Sin(double x);
[[nodiscard]] double Cos(double x);
// |x| <= 700.
[[nodiscard]] double Exp(double x);
// Of a positive normal number.
[[nodiscard]] double Log(double x);

}  // namespace plimsoll::kernels
