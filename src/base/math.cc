#include "base/math.h"

#include <array>
#include <cmath>
#include <limits>

namespace plimsoll {
namespace {

// ln 2 in two parts; the high one has 21 trailing zero bits, so its products with exponents are
// exact.
constexpr double kLn2High = 0x1.62e42fee00000p-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;

// 1/n! for n = 13 .. 0: on |r| <= ln(2)/2 the first omitted term is under 5e-18 of the result.
constexpr std::array<double, 14> kExpTaylor = {1.0 / 6227020800.0,
                                               1.0 / 479001600.0,
                                               1.0 / 39916800.0,
                                               1.0 / 3628800.0,
                                               1.0 / 362880.0,
                                               1.0 / 40320.0,
                                               1.0 / 5040.0,
                                               1.0 / 720.0,
                                               1.0 / 120.0,
                                               1.0 / 24.0,
                                               1.0 / 6.0,
                                               0.5,
                                               1.0,
                                               1.0};

}  // namespace

double StableExp(double x) {
  if (std::isnan(x)) {
    return x;
  }
  if (x > 709.782712893384) {
    return std::numeric_limits<double>::infinity();
  }
  if (x < -745.2) {
    return 0.0;
  }
  const double scaled = x * kLog2E;
  const int n = static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = kExpTaylor[0];
  for (size_t i = 1; i < kExpTaylor.size(); ++i) {
    sum = sum * r + kExpTaylor[i];
  }
  return std::ldexp(sum, n);
}

double StableLog(double x) {
  if (std::isnan(x) || x < 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (x == 0) {
    return -std::numeric_limits<double>::infinity();
  }
  if (std::isinf(x)) {
    return x;
  }
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1).
  int e = 0;
  double m = std::frexp(x, &e);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    --e;
  }
  const double f = m - 1;
  const double s = f / (m + 1);
  const double s2 = s * s;
  double series = 0;  // s^2/3 + s^4/5 + ...; the first omitted term is under 1e-19
  for (int k = 25; k >= 3; k -= 2) {
    series = (series + 1.0 / k) * s2;
  }
  // ln m = f - s (f - 2 series): the leading f is exact, so the rounding is that of the correction.
  return e * kLn2High + (f - (s * (f - 2 * series) - e * kLn2Low));
}

}  // namespace plimsoll
