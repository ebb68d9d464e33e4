// What recurrent layers are made of, over the F32x16 `V` of an instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/exp.h"
#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

template <class V>
void ShortConvOf(const float* const* inputs, const float* weights, uint32_t width, size_t stride,
                 uint64_t n, float* y) {
  uint64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    V sum = V::Zero();
    for (uint32_t j = 0; j < width; ++j) {
      sum = Fma(V::Load(weights + j * stride + i), V::Load(inputs[j] + i), sum);
    }
    SiluOf(sum).Store(y + i);
  }
  if (i < n) {
    V sum = V::Zero();
    for (uint32_t j = 0; j < width; ++j) {
      sum =
          Fma(V::LoadPart(weights + j * stride + i, n - i), V::LoadPart(inputs[j] + i, n - i), sum);
    }
    SiluOf(sum).StorePart(y + i, n - i);
  }
}

// Two passes over a piece of memory that the nearest cache holds: what the key recalls is known
// only when all of it was read.
template <class V>
void DeltaRuleOf(const DeltaRuleArgs& args) {
  static_assert(kDeltaLanes == 16);
  const V decay = V::Set(args.decay);
  V recalled[4] = {V::Zero(), V::Zero(), V::Zero(), V::Zero()};
  for (uint32_t d = 0; d < args.key_dim; d += 4) {
    for (uint32_t j = 0; j < 4; ++j) {
      recalled[j] = Fma(V::Load(args.from + size_t{d + j} * kDeltaLanes), V::Set(args.key[d + j]),
                        recalled[j]);
    }
  }
  const V old = decay * ((recalled[0] + recalled[2]) + (recalled[1] + recalled[3]));
  const V change = V::Set(args.beta) * (V::Load(args.value) - old);
  V out[4] = {V::Zero(), V::Zero(), V::Zero(), V::Zero()};
  for (uint32_t d = 0; d < args.key_dim; d += 4) {
    for (uint32_t j = 0; j < 4; ++j) {
      const size_t row = size_t{d + j} * kDeltaLanes;
      const V now = Fma(V::Set(args.key[d + j]), change, decay * V::Load(args.from + row));
      now.Store(args.to + row);
      out[j] = Fma(now, V::Set(args.query[d + j]), out[j]);
    }
  }
  ((out[0] + out[2]) + (out[1] + out[3])).Store(args.out);
}

}  // namespace
}  // namespace plimsoll::kernels
