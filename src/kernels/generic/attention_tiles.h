// The inner loops of attention: products of query rows with the keys of a block, and sums of its
// values, over the F32x16 `V` of an instruction set.
//
// `Slots` is where the loops read keys or values: the elements as they lie in a KV block, or the
// floats that a block was widened to when many rows read it. An element type is one class like
// F16Slots; nothing else knows what a block holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

constexpr size_t kStripes = 16;
constexpr size_t kTileRows = 4;     // rows that a key or value is loaded once for
constexpr size_t kTileScores = 16;  // rows x keys whose stripes are folded together

// Registers of accumulators that a tile has for each of its rows. More than eight for a single row
// would ask for too much memory at a time.
template <class V, size_t kRows>
constexpr size_t kRowRegisters = V::kTileRegisters / kRows < 8 ? V::kTileRegisters / kRows : 8;

// Memory that the next block is in, asked for a few lines at a time between the arithmetic of the
// present one: hardware does not follow from block to block, and all at once would hold up the
// loads that are wanted now. Addresses are numbers since nothing is read.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const std::byte* begin, size_t offset, size_t bytes)
      : at_(reinterpret_cast<uintptr_t>(begin) + offset), end_(at_ + bytes) {}

  // Asks for what lies ahead while `bytes` bytes of the present block are used.
  void Step(size_t bytes) {
    if (at_ < end_) {
      for (size_t i = 0; i < bytes; i += kLineBytes) {
        __builtin_prefetch(reinterpret_cast<const void*>(at_ + i), 0, kSecondLevel);
      }
      at_ += bytes < kLineBytes ? kLineBytes : bytes;
    }
  }

 private:
  static constexpr size_t kLineBytes = 64;
  // The first level has no room: the present block, queries, scores and results fill it.
  static constexpr int kSecondLevel = 2;

  uintptr_t at_ = 0;
  uintptr_t end_ = 0;
};

// Slots: of a slot, a register of dimensions from d on (Load), or the first n of a vector of them
// (LoadPart, whose other lanes are unspecified); and how many bytes hold n elements.

// The F16 keys or values of a block.
template <class V>
struct F16Slots {
  const std::byte* data;
  size_t stride;  // bytes from a slot to the next

  typename V::Register Load(size_t slot, size_t d) const {
    return V::Register::LoadF16(At(slot, d));
  }
  V LoadPart(size_t slot, size_t d, size_t n) const { return V::LoadF16Part(At(slot, d), n); }
  static constexpr size_t BytesOf(size_t n) { return n * sizeof(uint16_t); }

 private:
  [[nodiscard]] const std::byte* At(size_t slot, size_t d) const {
    return data + slot * stride + d * sizeof(uint16_t);
  }
};

template <class V>
struct BF16Slots {
  const std::byte* data;
  size_t stride;  // bytes from a slot to the next

  typename V::Register Load(size_t slot, size_t d) const {
    return V::Register::LoadBF16(At(slot, d));
  }
  V LoadPart(size_t slot, size_t d, size_t n) const { return V::LoadBF16Part(At(slot, d), n); }
  static constexpr size_t BytesOf(size_t n) { return n * sizeof(uint16_t); }

 private:
  [[nodiscard]] const std::byte* At(size_t slot, size_t d) const {
    return data + slot * stride + d * sizeof(uint16_t);
  }
};

// The codes of a panel of latents (tensor/kv_panel.h), with its scales as floats; kQ4: and what its
// code 0 stands for.
template <class V, bool kIsQ4>
struct LatentSlots {
  const std::byte* codes;
  size_t stride;  // bytes from a slot to the next
  const float* scales;
  const float* minima;
  size_t n_groups;

  typename V::Register Load(size_t slot, size_t d) const {
    return Element<typename V::Register>(slot, d);
  }
  V LoadPart(size_t slot, size_t d, size_t /*n*/) const { return Element<V>(slot, d); }
  static constexpr size_t BytesOf(size_t n) { return kIsQ4 ? n / 2 : n; }

 private:
  template <class T>
  T Element(size_t slot, size_t d) const {
    const std::byte* row = codes + slot * stride;
    const size_t group = slot * n_groups + d / tensor::kKvGroup;
    if constexpr (kIsQ4) {
      constexpr size_t kHalf = tensor::kKvLane / 2;
      const T code = T::LoadU4(row + d / tensor::kKvLane * kHalf, d % tensor::kKvLane);
      return Fma(code, T::Set(scales[group]), T::Set(minima[group]));
    } else {
      return T::LoadI8(row + d) * T::Set(scales[group]);
    }
  }
};

// The same as floats.
template <class V>
struct FloatSlots {
  const float* data;
  size_t stride;  // floats

  typename V::Register Load(size_t slot, size_t d) const {
    return V::Register::Load(data + slot * stride + d);
  }
  V LoadPart(size_t slot, size_t d, size_t n) const {
    return V::LoadPart(data + slot * stride + d, n);
  }
  // Of what they were widened from, for Ahead.
  static constexpr size_t BytesOf(size_t n) { return n * sizeof(uint16_t); }
};

constexpr size_t WideStride(size_t dim) { return (dim + kStripes - 1) / kStripes * kStripes; }

// Floats for the scales, or the minima, of a panel.
constexpr size_t ScaleRoom(size_t dim) {
  return (dim + tensor::kKvGroup - 1) / tensor::kKvGroup * tensor::kKvGroup;
}

// Opens the panel of latents at `data`; its scales and minima go to `room`, 2 * ScaleRoom(dim)
// floats.
template <class V, bool kIsQ4>
inline LatentSlots<V, kIsQ4> OpenLatents(const std::byte* data, size_t dim, float* room) {
  const size_t padded = WideStride(dim);
  const size_t n_groups = (dim + tensor::kKvGroup - 1) / tensor::kKvGroup;
  const size_t n_scales = kKvBlockTokens * n_groups;
  float* minima = room + ScaleRoom(dim);
  for (size_t i = 0; i < n_scales; i += kStripes) {
    const V scales = V::LoadF16(data + i * sizeof(uint16_t));
    scales.Store(room + i);
    if constexpr (kIsQ4) {
      (scales * V::Set(-8)).Store(minima + i);
    }
  }
  return {data + n_scales * sizeof(uint16_t), kIsQ4 ? padded / 2 : padded, room, minima, n_groups};
}

// Writes the `visible` slots as floats to `wide`.
template <class V, class Slots>
inline FloatSlots<V> Widen(const Slots& slots, uint32_t visible, size_t dim, float* wide) {
  constexpr size_t kLanes = V::kRegisterLanes;
  const size_t stride = WideStride(dim);
  for (uint32_t bits = visible; bits != 0; bits &= bits - 1) {
    const auto slot = static_cast<size_t>(__builtin_ctz(bits));
    float* row = wide + slot * stride;
    size_t d = 0;
    for (; d + kLanes <= dim; d += kLanes) {
      slots.Load(slot, d).Store(row + d);
    }
    if (d < dim) {
      slots.LoadPart(slot, d, dim - d).StorePart(row + d, dim - d);
    }
  }
  return {wide, stride};
}

// sums[r * kKeysApart + k] = the stripes of row r with the key of slot first + k.
template <class V, size_t kRows, size_t kKeys, size_t kKeysApart, class Slots>
inline void DotTile(const float* const* q, const Slots& keys, size_t first, size_t dim,
                    Ahead& ahead, V* sums) {
  using Register = typename V::Register;
  const size_t whole = dim / kStripes * kStripes;
  for (size_t lane = 0; lane < kStripes; lane += V::kRegisterLanes) {
    Register acc[kRows][kKeys];
    for (auto& of_row : acc) {
      for (Register& a : of_row) {
        a = Register::Set(0);
      }
    }
    for (size_t d = lane; d < whole; d += kStripes) {
      ahead.Step(Slots::BytesOf(kKeys * V::kRegisterLanes));
      Register key[kKeys];
      for (size_t k = 0; k < kKeys; ++k) {
        key[k] = keys.Load(first + k, d);
      }
      for (size_t r = 0; r < kRows; ++r) {
        Register query = Register::Load(q[r] + d);
        KeepInRegister(query);
        for (size_t k = 0; k < kKeys; ++k) {
          acc[r][k] = Fma(query, key[k], acc[r][k]);
        }
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t k = 0; k < kKeys; ++k) {
        SetRegister(sums[r * kKeysApart + k], lane, acc[r][k]);
      }
    }
  }
}

// The dimensions that do not fill a vector.
template <class V, size_t kRows, size_t kKeys, class Slots>
inline void DotTail(const float* const* q, const Slots& keys, size_t first, size_t dim, V* sums) {
  const size_t d = dim / kStripes * kStripes;
  const size_t n = dim - d;
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t k = 0; k < kKeys; ++k) {
      V& sum = sums[r * kKeys + k];
      sum = FmaPart(V::LoadPart(q[r] + d, n), keys.LoadPart(first + k, d, n), sum, n);
    }
  }
}

// scores[r][i] = q_r . key_i for the kTileScores / kRows slots from `first` on.
template <class V, size_t kRows, class Slots>
inline void ScoreTile(const float* const* q, const Slots& keys, size_t first, size_t dim,
                      Ahead& ahead, float (*scores)[kKvBlockTokens]) {
  constexpr size_t kKeys = kTileScores / kRows;
  constexpr size_t kPartKeys = kRowRegisters<V, kRows>;  // as many as the registers hold
  V sums[kTileScores];
  for (size_t k = 0; k < kKeys; k += kPartKeys) {
    DotTile<V, kRows, kPartKeys, kKeys>(q, keys, first + k, dim, ahead, sums + k);
  }
  if (dim % kStripes != 0) {
    DotTail<V, kRows, kKeys>(q, keys, first, dim, sums);
  }
  alignas(64) float totals[kTileScores];
  TreeSums16(sums).Store(totals);
  for (size_t r = 0; r < kRows; ++r) {
    __builtin_memcpy(scores[r] + first, totals + r * kKeys, kKeys * sizeof(float));
  }
}

// out_r = out_r * corrections_r + the sum over `slots` of p_r * value, for kChunks registers of
// dimensions from d on.
template <class V, size_t kRows, size_t kChunks, class Slots>
inline void ValueTile(const Slots& values, uint32_t slots, size_t d,
                      const float (*p)[kKvBlockTokens], const float* corrections, Ahead& ahead,
                      float* const* out) {
  using Register = typename V::Register;
  Register acc[kRows][kChunks];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t c = 0; c < kChunks; ++c) {
      acc[r][c] =
          Register::Load(out[r] + d + c * V::kRegisterLanes) * Register::Set(corrections[r]);
    }
  }
  for (uint32_t bits = slots; bits != 0; bits &= bits - 1) {
    const auto slot = static_cast<size_t>(__builtin_ctz(bits));
    ahead.Step(Slots::BytesOf(kChunks * V::kRegisterLanes));
    Register value[kChunks];
    for (size_t c = 0; c < kChunks; ++c) {
      value[c] = values.Load(slot, d + c * V::kRegisterLanes);
    }
    for (size_t r = 0; r < kRows; ++r) {
      const Register weight = Register::Set(p[r][slot]);
      for (size_t c = 0; c < kChunks; ++c) {
        acc[r][c] = Fma(weight, value[c], acc[r][c]);
      }
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t c = 0; c < kChunks; ++c) {
      acc[r][c].Store(out[r] + d + c * V::kRegisterLanes);
    }
  }
}

// The dimensions from d on, which do not fill a register.
template <class V, class Slots>
inline void ValueTail(const Slots& values, uint32_t slots, size_t d, size_t n, const float* p,
                      float correction, float* out) {
  V acc = V::LoadPart(out + d, n) * V::Set(correction);
  for (uint32_t bits = slots; bits != 0; bits &= bits - 1) {
    const auto slot = static_cast<size_t>(__builtin_ctz(bits));
    acc = Fma(V::Set(p[slot]), values.LoadPart(slot, d, n), acc);
  }
  acc.StorePart(out + d, n);
}

// ValueTile over all dimensions.
template <class V, size_t kRows, class Slots>
inline void AddValues(const Slots& values, uint32_t slots, size_t dim,
                      const float (*p)[kKvBlockTokens], const float* corrections, Ahead& ahead,
                      float* const* out) {
  constexpr size_t kChunks = kRowRegisters<V, kRows>;
  constexpr size_t kHalfTile = 4;  // still enough sums at a time to wait for none
  constexpr size_t kLanes = V::kRegisterLanes;
  size_t d = 0;
  for (; d + kChunks * kLanes <= dim; d += kChunks * kLanes) {
    ValueTile<V, kRows, kChunks>(values, slots, d, p, corrections, ahead, out);
  }
  if constexpr (kChunks > kHalfTile) {
    for (; d + kHalfTile * kLanes <= dim; d += kHalfTile * kLanes) {
      ValueTile<V, kRows, kHalfTile>(values, slots, d, p, corrections, ahead, out);
    }
  }
  for (; d + kLanes <= dim; d += kLanes) {
    ValueTile<V, kRows, 1>(values, slots, d, p, corrections, ahead, out);
  }
  for (size_t r = 0; d < dim && r < kRows; ++r) {
    ValueTail<V>(values, slots, d, dim - d, p[r], corrections[r], out[r]);
  }
}

}  // namespace
}  // namespace plimsoll::kernels
