// The functions on one vector of activations, over the F32x16 `V` of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/exp.h"

namespace plimsoll::kernels {
namespace {

constexpr uint64_t kLanes = 16;

// y[i] = f(x[i]); y may be x.
template <class V, class F>
inline void Map(const float* x, uint64_t n, float* y, F f) {
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    f(V::Load(x + i)).Store(y + i);
  }
  if (i < n) {
    f(V::LoadPart(x + i, n - i)).StorePart(y + i, n - i);
  }
}

// y[i] = f(a[i], b[i]); y may be a or b.
template <class V, class F>
inline void Map2(const float* a, const float* b, uint64_t n, float* y, F f) {
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    f(V::Load(a + i), V::Load(b + i)).Store(y + i);
  }
  if (i < n) {
    f(V::LoadPart(a + i, n - i), V::LoadPart(b + i, n - i)).StorePart(y + i, n - i);
  }
}

template <class V>
void RmsNormOf(const float* x, const float* weight, float eps, uint64_t n, float* y) {
  V squares = V::Zero();
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const V v = V::Load(x + i);
    squares = Fma(v, v, squares);
  }
  if (i < n) {
    const V v = V::LoadPart(x + i, n - i);
    squares = FmaPart(v, v, squares, n - i);
  }
  const V r = V::Set(1.0F / __builtin_sqrtf(TreeSum(squares) / static_cast<float>(n) + eps));
  Map2<V>(x, weight, n, y, [r](V v, V w) { return (v * r) * w; });
}

template <class V>
void SiluMulOf(const float* gate, const float* up, uint64_t n, float* y) {
  Map2<V>(gate, up, n, y, [](V g, V u) { return SiluOf(g) * u; });
}

template <class V>
void SwigluClampedOf(const float* gate, const float* up, float alpha, float limit, uint64_t n,
                     float* y) {
  const V high = V::Set(limit);
  const V low = V::Set(-limit);
  const V slope = V::Set(alpha);
  const V one = V::Set(1.0F);
  Map2<V>(gate, up, n, y, [=](V g, V u) {
    g = Min(g, high);
    u = Max(Min(u, high), low);
    return (g / OnePlusExpOfNegative(slope * g)) * (u + one);
  });
}

template <class V>
void GeluMulOf(const float* gate, const float* up, uint64_t n, float* y) {
  const V linear = V::Set(exp_constants::kGeluLinear);
  const V cubic = V::Set(exp_constants::kGeluCubic);
  Map2<V>(gate, up, n, y,
          [=](V g, V u) { return (g / OnePlusExpOfNegative(g * Fma(g * g, cubic, linear))) * u; });
}

template <class V>
void AddOf(const float* x, uint64_t n, float* y) {
  Map2<V>(x, y, n, y, [](V a, V b) { return b + a; });
}

template <class V>
void AxpyOf(float a, const float* x, uint64_t n, float* y) {
  const V factor = V::Set(a);
  Map2<V>(x, y, n, y, [factor](V v, V w) { return Fma(factor, v, w); });
}

template <class V>
inline float MaxOfAll(const float* x, uint64_t n) {
  V max = V::Set(-__builtin_inff());
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    max = Max(max, V::Load(x + i));
  }
  if (i < n) {
    const uint32_t lanes = (1U << (n - i)) - 1;
    max = Select(lanes, Max(max, V::LoadPart(x + i, n - i)), max);
  }
  return MaxOf(max);
}

template <class V>
void SoftmaxOf(float* x, uint64_t n) {
  const V max = V::Set(MaxOfAll<V>(x, n));
  V sum = V::Zero();
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const V e = ExpOf(V::Load(x + i) - max);
    e.Store(x + i);
    sum = sum + e;
  }
  if (i < n) {
    const V e = ExpOf(V::LoadPart(x + i, n - i) - max);
    e.StorePart(x + i, n - i);
    sum = Select((1U << (n - i)) - 1, sum + e, sum);
  }
  const V total = V::Set(TreeSum(sum));
  Map<V>(x, n, x, [total](V v) { return v / total; });
}

template <class V>
void SigmoidOfAll(float* x, uint64_t n) {
  Map<V>(x, n, x, [](V v) { return SigmoidOf(v); });
}

template <class V>
void SigmoidMulOf(const float* gate, const float* x, uint64_t n, float* y) {
  Map2<V>(gate, x, n, y, [](V g, V v) { return v * SigmoidOf(g); });
}

template <class V>
void ToF16Of(const float* x, uint64_t n, uint16_t* y) {
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    V::Load(x + i).StoreF16(y + i);
  }
  if (i < n) {
    V::LoadPart(x + i, n - i).StoreF16Part(y + i, n - i);
  }
}

// Pairs that are n_pairs apart: sixteen pairs are two vectors.
template <class V>
inline void RopeHalves(float* x, const float* cos, const float* sin, uint32_t n_pairs) {
  const auto turn = [](V x0, V x1, V c, V s, auto store) {
    store(Fma(x0, c, Negate(x1 * s)), Fma(x1, c, x0 * s));
  };
  uint32_t i = 0;
  for (; i + kLanes <= n_pairs; i += kLanes) {
    float* first = x + i;
    float* second = x + n_pairs + i;
    turn(V::Load(first), V::Load(second), V::Load(cos + i), V::Load(sin + i), [&](V y0, V y1) {
      y0.Store(first);
      y1.Store(second);
    });
  }
  if (const uint32_t n = n_pairs - i; n > 0) {
    float* first = x + i;
    float* second = x + n_pairs + i;
    turn(V::LoadPart(first, n), V::LoadPart(second, n), V::LoadPart(cos + i, n),
         V::LoadPart(sin + i, n), [&](V y0, V y1) {
           y0.StorePart(first, n);
           y1.StorePart(second, n);
         });
  }
}

// Neighbouring pairs: eight pairs are one vector.
template <class V>
inline void RopeNeighbours(float* x, const float* cos, const float* sin, uint32_t n_pairs) {
  uint32_t i = 0;
  for (; i + 8 <= n_pairs; i += 8) {
    const V v = V::Load(x + 2 * i);
    const V turned = SwapPairs(v) * V::LoadTwice(sin + i);
    FmaSubtractAdd(v, V::LoadTwice(cos + i), turned).Store(x + 2 * i);
  }
  for (; i < n_pairs; ++i) {
    const float x0 = x[2 * i];
    const float x1 = x[2 * i + 1];
    x[2 * i] = __builtin_fmaf(x0, cos[i], -(x1 * sin[i]));
    x[2 * i + 1] = __builtin_fmaf(x1, cos[i], x0 * sin[i]);
  }
}

template <class V>
void RopeOf(float* x, const float* cos, const float* sin, uint32_t n_pairs, bool neox) {
  if (neox) {
    RopeHalves<V>(x, cos, sin, n_pairs);
  } else {
    RopeNeighbours<V>(x, cos, sin, n_pairs);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
