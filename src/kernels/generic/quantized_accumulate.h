// One block of weights meets one block of activations: exact integer sums, then the float step of
// docs/numerics.md ("Matrix products with quantized weights"), for a register tile of kGroups row
// groups and kTokens tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/activation.h"
#include "kernels/generic/quantized_types256.h"
#include "kernels/generic/quantized_types32.h"

namespace plimsoll::kernels {
namespace {

// A tile's values: [group][token].
template <class V, size_t kGroups, size_t kTokens>
using IntTile = typename V::Int[kGroups][kTokens];
template <class V, size_t kGroups, size_t kTokens>
using FloatTile = typename V::Float[kGroups][kTokens];

// Left to itself the compiler adds up in another order, for which sixteen registers do not do: half
// of the instructions then go to the stack, and panels take up to 1.6 times as long. It is held to
// have partial sums of several slices in a register, and the whole sums of signed weights, which
// take up every slice. With one or two tokens there is less to hold, and the order that it finds is
// better, but for types that say otherwise (kKeepsSums); so it is for signed weights outside of
// panels, and everywhere for unsigned ones whose products fill V's integers by themselves.
template <class V, class Type, size_t kTokens>
inline constexpr bool kKeepsPartial = V::kFewRegisters && !Type::kSigned &&
                                      V::ChainLength(Type::kMaxWeight) > 1 &&
                                      (kTokens > 2 || requires { Type::kKeepsSums; });
template <class V, class Type>
inline constexpr bool kKeepsWhole =
    V::kFewRegisters && Type::kSigned && requires { Type::kKeepsSums; };

// Holds the compiler to have a sum in a register here.
template <bool kKeep, class Int>
[[gnu::always_inline]] inline void KeepSum(Int& sum) {
  if constexpr (kKeep) {
    asm("" : "+x"(sum));
  }
}

// Multiplies kSlices slices of each group's weights with the 4 * kSlices bytes at q of each token
// and hands the partial sums to flush(group, token, partial) as often as V's integers need it.
template <class V, class Type, size_t kSlices, size_t kGroups, size_t kTokens, class Flush>
[[gnu::always_inline]] inline void DotSlices(const typename V::Int* const (&w)[kGroups],
                                             const int8_t* const (&q)[kTokens],
                                             const Flush& flush) {
  using Int = typename V::Int;
  constexpr size_t kMax = V::ChainLength(Type::kMaxWeight);
  constexpr size_t kChain = kMax < kSlices ? kMax : kSlices;
#pragma GCC unroll 8
  for (size_t first = 0; first < kSlices; first += kChain) {
    IntTile<V, kGroups, kTokens> partial;
#pragma GCC unroll 8
    for (size_t i = first; i < (first + kChain < kSlices ? first + kChain : kSlices); ++i) {
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) {
        const Int activations = V::Broadcast(q[t] + 4 * i);
#pragma GCC unroll 2
        for (size_t r = 0; r < kGroups; ++r) {
          if constexpr (Type::kSigned) {
            partial[r][t] = V::SignedProduct(w[r][i], activations);
          } else {
            partial[r][t] = V::Chain(i == first ? V::Zero() : partial[r][t], w[r][i], activations);
            KeepSum<kKeepsPartial<V, Type, kTokens>>(partial[r][t]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        flush(r, t, partial[r][t]);
      }
    }
  }
}

// first * the sum of the first sixteen activations + second * that of the others.
template <class V>
[[gnu::always_inline]] inline typename V::Int SumsTimes(const BlockQ8x32& x, int16_t first,
                                                        int16_t second) {
  const auto low = static_cast<uint16_t>(first);
  const auto high = static_cast<uint16_t>(second);
  const auto factors = static_cast<int32_t>(low | static_cast<uint32_t>(high) << 16);
  return V::PairDot(V::Zero(), V::Broadcast(x.sums), V::Set(factors));
}

// What the products of unsigned weights, which stand for w + kZero, have too much: taken off where
// their sum begins.
template <class V, class Type>
[[gnu::always_inline]] inline typename V::Int SumStart(const BlockQ8x32& x) {
  if constexpr (Type::kZero != 0) {
    return SumsTimes<V>(x, -Type::kZero, -Type::kZero);
  } else {
    return V::Zero();
  }
}

// The float step of a block of 32, once its integer sums are exact. d and m: scales and minima.
template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void Finish32(const typename V::Float (&d)[kGroups],
                                            const typename V::Float (&m)[kGroups],
                                            const BlockQ8x32* const (&x)[kTokens],
                                            const IntTile<V, kGroups, kTokens>& isum,
                                            FloatTile<V, kGroups, kTokens>& acc) {
  using Int = typename V::Int;
  using Float = typename V::Float;
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    const Float da = V::FloatSet(x[t]->d);
    const Int sum = SumsTimes<V>(*x[t], 1, 1);
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      acc[r][t] = V::Fma(V::FloatMul(d[r], da), V::ToFloat(isum[r][t]), acc[r][t]);
      if constexpr (Type::kHasMin) {
        acc[r][t] = V::Fma(V::FloatMul(m[r], da), V::ToFloat(sum), acc[r][t]);
      }
    }
  }
}

// Adds the products of kSlices slices with the bytes at q to sums that have begun.
template <class V, class Type, size_t kSlices, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void AddSlices(const typename V::Int* const (&w)[kGroups],
                                             const int8_t* const (&q)[kTokens],
                                             IntTile<V, kGroups, kTokens>& isum) {
  using Int = typename V::Int;
  if constexpr (V::kChainsSums && !Type::kSigned) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kSlices; ++i) {
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; ++t) {
        const Int activations = V::Broadcast(q[t] + 4 * i);
#pragma GCC unroll 2
        for (size_t r = 0; r < kGroups; ++r) {
          isum[r][t] = V::Chain(isum[r][t], w[r][i], activations);
        }
      }
    }
  } else {
    DotSlices<V, Type, kSlices, kGroups, kTokens>(
        w, q, [&](size_t r, size_t t, Int partial) __attribute__((always_inline)) {
          isum[r][t] = V::Flush(isum[r][t], partial);
          KeepSum<kKeepsWhole<V, Type>>(isum[r][t]);
        });
  }
}

// Half of a block of 32 whose halves have scales of their own, as floats: scale[r] times its sums.
// The second half is added to the first, `part`, by one multiply-add.
template <class V, class Type, bool kSecond, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void AddHalf(const typename V::Int* const (&w)[kGroups],
                                           const typename V::Float (&scale)[kGroups],
                                           const BlockQ8x32* const (&x)[kTokens],
                                           FloatTile<V, kGroups, kTokens>& part) {
  using Int = typename V::Int;
  using Float = typename V::Float;
  constexpr size_t kSlices = kSlices32 / 2;
  const Int* half[kGroups];
  const int8_t* q[kTokens];
  IntTile<V, kGroups, kTokens> isum;
#pragma GCC unroll 2
  for (size_t r = 0; r < kGroups; ++r) {
    half[r] = w[r] + (kSecond ? kSlices : 0);
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    q[t] = x[t]->q + (kSecond ? 16 : 0);
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      isum[r][t] = SumsTimes<V>(*x[t], kSecond ? 0 : -Type::kZero, kSecond ? -Type::kZero : 0);
    }
  }
  AddSlices<V, Type, kSlices, kGroups, kTokens>(half, q, isum);
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      const Float sum = V::ToFloat(isum[r][t]);
      part[r][t] = kSecond ? V::Fma(scale[r], sum, part[r][t]) : V::FloatMul(scale[r], sum);
    }
  }
}

// One block of 32 for a tile. w[r] are its kSlices32 slices, d and m its scales and minima; of a
// type whose halves have scales of their own (kHalves), the first and the second.
template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void Accumulate32(const typename V::Int* const (&w)[kGroups],
                                                const typename V::Float (&d)[kGroups],
                                                const typename V::Float (&m)[kGroups],
                                                const BlockQ8x32* const (&x)[kTokens],
                                                FloatTile<V, kGroups, kTokens>& acc) {
  if constexpr (Type::kHalves) {
    FloatTile<V, kGroups, kTokens> part;
    AddHalf<V, Type, false, kGroups, kTokens>(w, d, x, part);
    AddHalf<V, Type, true, kGroups, kTokens>(w, m, x, part);
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        acc[r][t] = V::Fma(V::FloatSet(x[t]->d), part[r][t], acc[r][t]);
      }
    }
  } else {
    const int8_t* q[kTokens];
    IntTile<V, kGroups, kTokens> isum;
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      q[t] = x[t]->q;
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        isum[r][t] = SumStart<V, Type>(*x[t]);
      }
    }
    AddSlices<V, Type, kSlices32, kGroups, kTokens>(w, q, isum);
    Finish32<V, Type, kGroups, kTokens>(d, m, x, isum, acc);
  }
}

// The 32 signed weights of each row, for many tokens. With the bits of an activation a inverted
// where the weight is negative, which gives -a - 1, magnitudes meet what V multiplies, in an
// operation less than with signs. Products with -a - 1 lack the magnitude once, whatever a is. Two
// of -128 * 128 are the least that 16 bits hold.
template <class V>
struct SignedSlices {
  typename V::Int magnitudes[kSlices32];
  typename V::Int negative[kSlices32];  // a byte of ones for each weight below zero
  typename V::Int lacking;              // where sums begin
};

template <class V>
[[gnu::always_inline]] inline void SplitSigns(const typename V::Int (&w)[kSlices32],
                                              SignedSlices<V>* split) {
  using Int = typename V::Int;
  split->lacking = V::Zero();
#pragma GCC unroll 8
  for (size_t i = 0; i < kSlices32; ++i) {
    const Int magnitudes = V::Magnitudes(w[i]);
    const Int negative = V::NegativeBytes(w[i]);
    split->magnitudes[i] = magnitudes;
    split->negative[i] = negative;
    const Int pairs = V::Chain(V::Zero(), V::And(magnitudes, negative), V::Set(0x01010101));
    split->lacking = V::Flush(split->lacking, pairs);
  }
}

// Accumulate32 with such weights.
template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void AccumulateSigned32(const SignedSlices<V>* const (&w)[kGroups],
                                                      const typename V::Float (&d)[kGroups],
                                                      const BlockQ8x32* const (&x)[kTokens],
                                                      FloatTile<V, kGroups, kTokens>& acc) {
  using Int = typename V::Int;
  IntTile<V, kGroups, kTokens> isum;
#pragma GCC unroll 8
  for (size_t i = 0; i < kSlices32; ++i) {
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      const Int activations = V::Broadcast(x[t]->q + 4 * i);
#pragma GCC unroll 2
      for (size_t r = 0; r < kGroups; ++r) {
        const Int pairs =
            V::Chain(V::Zero(), w[r]->magnitudes[i], V::Xor(activations, w[r]->negative[i]));
        isum[r][t] = V::Flush(i == 0 ? w[r]->lacking : isum[r][t], pairs);
        KeepSum<V::kFewRegisters>(isum[r][t]);
      }
    }
  }
  Finish32<V, Type, kGroups, kTokens>(d, d, x, isum, acc);
}

// One chunk of a super-block for a tile: adds scale * steps * (weights . activations) of its
// sub-blocks. scale_of(group, sub-block) is an operand of V::ScaleInSteps.
template <class V, class Type, size_t kGroups, size_t kTokens, class ScaleOfGroup>
[[gnu::always_inline]] inline void AccumulateChunk(const typename V::Int* const (&w)[kGroups],
                                                   const ScaleOfGroup& scale_of, size_t chunk,
                                                   const BlockQ8x256* const (&x)[kTokens],
                                                   IntTile<V, kGroups, kTokens>& isum) {
  using Int = typename V::Int;
  constexpr size_t kSlices = Type::kSub / 4;
#pragma GCC unroll 4
  for (size_t g = 0; g < kSlicesPerChunk / kSlices; ++g) {
    const size_t sub = Type::SubBlock(chunk, g);
    const Int* w_sub[kGroups];
    Int scale[kGroups];
    const int8_t* q[kTokens];
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      w_sub[r] = w[r] + g * kSlices;
      scale[r] = scale_of(r, sub);
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; ++t) {
      q[t] = x[t]->q + sub * Type::kSub;
    }
    DotSlices<V, Type, kSlices, kGroups, kTokens>(
        w_sub, q, [&](size_t r, size_t t, Int partial) __attribute__((always_inline)) {
          const Int steps = V::Broadcast(x[t]->steps[sub * Type::kSub / 32]);
          isum[r][t] = V::FlushScaled(isum[r][t], partial, V::ScaleInSteps(scale[r], steps));
          KeepSum<kKeepsWhole<V, Type>>(isum[r][t]);
        });
  }
}

// The sums of activations per sub-block of a type, as 16-bit integers one behind another.
template <size_t kSub>
[[gnu::always_inline]] inline const int16_t* SubBlockSums(const BlockQ8x256& x, int16_t* storage) {
  if constexpr (kSub == 16) {
    return x.sums;
  } else {
    const __m128i one = _mm_set1_epi16(1);
    const auto* sums = reinterpret_cast<const __m128i*>(x.sums);
    const __m128i low = _mm_madd_epi16(_mm_loadu_si128(sums), one);
    const __m128i high = _mm_madd_epi16(_mm_loadu_si128(sums + 1), one);
    _mm_store_si128(reinterpret_cast<__m128i*>(storage), _mm_packs_epi32(low, high));
    return storage;
  }
}

// The float step of a super-block, once its scaled sums are whole. pairs[r]: ExpandedHeader.
template <class V, class Type, size_t kGroups, size_t kTokens>
[[gnu::always_inline]] inline void Finish256(const typename V::Float (&d)[kGroups],
                                             const typename V::Float (&dmin)[kGroups],
                                             const typename V::Int* const (&pairs)[kGroups],
                                             const BlockQ8x256* const (&x)[kTokens],
                                             const IntTile<V, kGroups, kTokens>& isum,
                                             FloatTile<V, kGroups, kTokens>& acc) {
  using Int = typename V::Int;
  using Float = typename V::Float;
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    const Float da = V::FloatSet(x[t]->d);
    alignas(16) int16_t storage[8];
    const int16_t* sums = SubBlockSums<Type::kSub>(*x[t], storage);
    Int fold[kGroups];
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      fold[r] = V::Zero();
    }
    if constexpr (Type::kHasMin || Type::kZero != 0) {
#pragma GCC unroll 8
      for (size_t i = 0; i < Type::kCount / 2; ++i) {
        const Int pair = V::Broadcast(sums + 2 * i);
#pragma GCC unroll 2
        for (size_t r = 0; r < kGroups; ++r) {
          fold[r] = V::PairDot(fold[r], pairs[r][i], pair);
        }
      }
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < kGroups; ++r) {
      Int exact = isum[r][t];
      if constexpr (Type::kZero != 0) {
        exact = V::Sub(exact, V::Mul(fold[r], V::Set(Type::kZero)));
      }
      acc[r][t] = V::Fma(V::FloatMul(d[r], da), V::ToFloat(exact), acc[r][t]);
      if constexpr (Type::kHasMin) {
        acc[r][t] = V::NegativeFma(V::FloatMul(dmin[r], da), V::ToFloat(fold[r]), acc[r][t]);
      }
    }
  }
}

}  // namespace
}  // namespace plimsoll::kernels
