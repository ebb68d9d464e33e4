// TQ1_0 and TQ2_0, whose weights are -1, 0 and 1 (TQ2_0 has a code for 2 besides) with one scale a
// super-block, in the form of quantized_types256.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/generic/quantized_types256.h"
#include "tensor/blocks.h"

namespace plimsoll::kernels {
namespace {

template <class V>
struct LanesTQ2_0 : SubBlocks<16>, UnsignedWeights<1, 3> {
  using Block = tensor::BlockTQ2_0;
  static constexpr bool kPrefetchStream = true;
  using Shared = NothingShared<V>;
  static constexpr bool kScalesAreOne = true;
  static constexpr bool kHasMin = false;

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = rows.Halves(offsetof(Block, d));
  }
  template <class Rows>
  static void UnpackChunk(const Rows& rows, const Shared& /*shared*/, size_t chunk,
                          typename V::Int* w) {
    LoadTwoBits<V>(rows, offsetof(Block, qs), chunk, w);
  }
};

template <class V>
struct LanesTQ1_0 : SubBlocks<32>, UnsignedWeights<1, 2> {
  using Block = tensor::BlockTQ1_0;
  static constexpr bool kPrefetchStream = true;
  static constexpr bool kScalesAreOne = true;
  static constexpr bool kHasMin = false;

  // All digits: a byte's are spread over the whole super-block.
  struct Shared {
    typename V::Int qs[12];
    typename V::Int qh;
    template <class Rows>
    explicit Shared(const Rows& rows) {
      rows.Columns(0, qs);
      rows.Columns(16, qs + 4);
      rows.Columns(32, qs + 8);
      qh = rows.Column(offsetof(Block, qh));
    }
  };

  template <class Rows>
  static void ReadHeader(const Rows& rows, SuperHeader<V, kCount>* h) {
    h->d = rows.Halves(offsetof(Block, d));
  }
  template <class Rows>
  static void UnpackChunk(const Rows& /*rows*/, const Shared& shared, size_t chunk,
                          typename V::Int* w) {
    // 32 elements: a digit of the first 32 bytes five times, then two digits of the other sixteen
    // twice, then the last digit of these and all four of qh.
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const size_t digit = 2 * chunk + half;
      const size_t later = 2 * (digit < 5 ? 0 : digit - 5);
      typename V::Int* const out = w + 8 * half;
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        if (digit < 5) {
          out[i] = Digit(shared.qs[i], digit);
          out[4 + i] = Digit(shared.qs[4 + i], digit);
        } else {
          out[i] = Digit(shared.qs[8 + i], later);
          out[4 + i] = later < 4 ? Digit(shared.qs[8 + i], later + 1) : Digit(shared.qh, i);
        }
      }
    }
  }

 private:
  static typename V::Int Digit(typename V::Int bytes, size_t n) {
    constexpr std::array<uint8_t, 5> kPowers = {1, 3, 9, 27, 81};
    return V::LeadingTernaryDigits(n == 0 ? bytes : V::MulBytes(bytes, kPowers[n]));
  }
};

}  // namespace
}  // namespace plimsoll::kernels
