// math.h's elementary functions on vectors. `V` is the F32x16 of an instruction set (avx2/vec.h,
// avx512/vec.h); like everything under generic/, internal to the source that includes it.
#pragma once

#include "kernels/exp_constants.h"

namespace plimsoll::kernels {
namespace {

template <class V>
inline V ExpOf(V x) {
  using namespace exp_constants;
  const V round = V::Set(kRoundToInteger);
  const V shifted = Fma(x, V::Set(kLog2E), round);
  const V n = shifted - round;
  const V r = NegativeFma(n, V::Set(kLn2Low), NegativeFma(n, V::Set(kLn2High), x));
  V p = Fma(V::Set(kC6), r, V::Set(kC5));
  p = Fma(p, r, V::Set(kC4));
  p = Fma(p, r, V::Set(kC3));
  p = Fma(p, r, V::Set(kC2));
  p = Fma(p, r, V::Set(1.0F));
  p = Fma(p, r, V::Set(1.0F));
  p = AddToExponent(p, shifted);
  p = ReplaceBelow(x, V::Set(kLowest), p, V::Zero());
  return ReplaceAbove(x, V::Set(kHighest), p, V::Set(__builtin_inff()));
}

template <class V>
inline V OnePlusExpOfNegative(V x) {
  return V::Set(1.0F) + ExpOf(Negate(x));
}

template <class V>
inline V SigmoidOf(V x) {
  return V::Set(1.0F) / OnePlusExpOfNegative(x);
}

template <class V>
inline V SiluOf(V x) {
  return x / OnePlusExpOfNegative(x);
}

template <class V>
inline V TanhOf(V x) {
  const V one = V::Set(1.0F);
  return one - V::Set(2.0F) / (ExpOf(V::Set(2.0F) * x) + one);
}

}  // namespace
}  // namespace plimsoll::kernels
