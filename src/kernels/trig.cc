#include "kernels/trig.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace plimsoll::kernels {
namespace {

// Series are summed by Horner with fma from the smallest term; their lengths leave a truncation
// error under 2^-56 on the reduced ranges.
template <size_t kTerms>
double Horner(const std::array<double, kTerms>& coefficients, double x) {
  double sum = coefficients[kTerms - 1];
  for (size_t i = kTerms - 1; i-- > 0;) {
    sum = std::fma(sum, x, coefficients[i]);
  }
  return sum;
}

// 1 / (first + i * step)! with alternating signs if `sign` is -1.
template <size_t kTerms>
constexpr std::array<double, kTerms> InverseFactorials(int first, int step, double sign) {
  std::array<double, kTerms> c = {};
  double factorial = 1;
  int n = 1;
  double s = 1;
  for (size_t i = 0; i < kTerms; ++i) {
    for (; n <= first + static_cast<int>(i) * step; ++n) {
      factorial *= n;
    }
    c[i] = s / factorial;
    s *= sign;
  }
  return c;
}

// sin r / r and cos r in powers of r^2, |r| <= pi / 4; e^r in powers of r, |r| <= ln(2) / 2.
constexpr auto kSin = InverseFactorials<9>(1, 2, -1);
constexpr auto kCos = InverseFactorials<10>(0, 2, -1);
constexpr auto kExp = InverseFactorials<14>(0, 1, 1);

struct Reduced {
  double r;          // |r| <= pi / 4 or a little more
  int64_t quadrant;  // x = r + quadrant * pi / 2
};

// Cody and Waite's reduction. pi / 2 in parts of 33, 33 and 53 bits: with |quadrant| < 2^20 the
// first two products are exact, and fma makes the others nearly so.
Reduced ReduceByHalfPi(double x) {
  constexpr double kInverse = 0x1.45f306dc9c883p-1;  // 2 / pi
  constexpr double kPart1 = 0x1.921fb544p+0;
  constexpr double kPart2 = 0x1.0b4611a6p-34;
  constexpr double kPart3 = 0x1.3198a2e037073p-69;
  constexpr double kRoundToInteger = 0x1.8p+52;
  const double n = (x * kInverse + kRoundToInteger) - kRoundToInteger;
  double r = std::fma(-n, kPart1, x);
  r = std::fma(-n, kPart2, r);
  r = std::fma(-n, kPart3, r);
  return {r, static_cast<int64_t>(n)};
}

double SinReduced(double r) { return r * Horner(kSin, r * r); }
double CosReduced(double r) { return Horner(kCos, r * r); }

}  // namespace

double Sin(double x) {
  const Reduced reduced = ReduceByHalfPi(x);
  const double value = (reduced.quadrant & 1) != 0 ? CosReduced(reduced.r) : SinReduced(reduced.r);
  return (reduced.quadrant & 2) != 0 ? -value : value;
}

double Cos(double x) {
  const Reduced reduced = ReduceByHalfPi(x);
  const double value = (reduced.quadrant & 1) != 0 ? SinReduced(reduced.r) : CosReduced(reduced.r);
  return ((reduced.quadrant + 1) & 2) != 0 ? -value : value;
}

double Exp(double x) {
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42fefap-1;
  constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
  constexpr double kRoundToInteger = 0x1.8p+52;
  const double n = (x * kLog2E + kRoundToInteger) - kRoundToInteger;
  double r = std::fma(-n, kLn2High, x);
  r = std::fma(-n, kLn2Low, r);
  const auto exponent = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52;
  return Horner(kExp, r) * std::bit_cast<double>(exponent);
}

double Log(double x) {
  constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
  constexpr double kLn2High = 0x1.62e42fefap-1;
  constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
  constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
  const auto bits = std::bit_cast<uint64_t>(x);
  auto n = static_cast<double>(static_cast<int64_t>(bits >> 52) - 1022);
  double m = std::bit_cast<double>((bits & kMantissa) | (uint64_t{1022} << 52));  // [1/2, 1)
  if (m < kSqrtHalf) {
    m *= 2;
    n -= 1;
  }
  // log m = 2 atanh s with s = (m - 1) / (m + 1), |s| < 0.172.
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double series = 1.0 / 25;
  for (int odd = 23; odd >= 1; odd -= 2) {
    series = std::fma(series, s2, 1.0 / odd);
  }
  return std::fma(n, kLn2High, std::fma(n, kLn2Low, 2 * s * series));
}

}  // namespace plimsoll::kernels
