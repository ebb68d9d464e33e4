// Attention over quantized keys and values (tensor/kv_panel.h) as integers, over the F32x16 `V` of
// an instruction set.
//
// What a sum multiplies codes by, a query times the scales of channels or the weights of slots
// times their scales, is rounded to integers of kFactorBits bits and a unit for each row and block:
// finer by far than the codes are, and then products are added up without any rounding, two at a
// time. docs/numerics.md has the order of operations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/generic/attention_tiles.h"
#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

constexpr auto kLargestFactor = static_cast<float>(1U << kFactorBits);

// A unit of codes.
template <class V, bool kIsQ4>
struct Codes {
  typename V::Pairs first;
  typename V::Pairs second;

  static constexpr size_t kBytes = tensor::KvPanel::kUnitCodes / (kIsQ4 ? 2 : 1);

  explicit Codes(const std::byte* unit) {
    if constexpr (kIsQ4) {
      const auto both = V::Pairs::LoadU8(unit);
      first = both.LowHalves();
      second = both.HighHalves();
    } else {
      first = V::Pairs::LoadI8(unit);
      second = V::Pairs::LoadI8(unit + kBytes / 2);
    }
  }
};

// Writes x, n of them, n a multiple of kStripes, as integers. `largest` has their largest magnitude
// in one of its lanes. Returns what one is worth.
template <class V>
inline float StoreFactors(const float* x, size_t n, V largest, int16_t* out) {
  const float max = MaxOf(largest);
  const V inverse = V::Set(max > 0 ? kLargestFactor / max : 0.0F);
  for (size_t i = 0; i < n; i += kStripes) {
    const V within =
        Min(Max(V::Load(x + i) * inverse, V::Set(-kLargestFactor)), V::Set(kLargestFactor));
    within.StoreI16(out + i);
  }
  return max * (1.0F / kLargestFactor);
}

// Where factors are made.
struct FactorRoom {
  float* scaled;     // a row's, before they are rounded
  int16_t* factors;  // of a tile's rows
};

template <class V, bool kIsQ4>
class PanelKeys {
 public:
  static constexpr size_t kTileRows = V::kTileIntegers / 2;

  PanelKeys(const std::byte* data, size_t dim, const FactorRoom& room)
      : scales_(data),
        dim_(dim),
        padded_(WideStride(dim)),
        codes_(data + padded_ * sizeof(uint16_t) * (kIsQ4 ? 2 : 1)),
        room_(room) {}

  // scores[r][i] = q_r . key_i for all slots.
  template <size_t kRows>
  void Score(const float* const* q, Ahead& ahead, float (*scores)[kKvBlockTokens]) const {
    using Integers = typename V::Integers;
    constexpr size_t kSplit = kTileRows / kRows;  // sums that a product waits for in turn
    Scaled scaled[kRows];
    for (size_t r = 0; r < kRows; ++r) {
      scaled[r] = Scale(q[r], room_.factors + r * padded_);
    }
    ahead.Step(static_cast<size_t>(codes_ - scales_));
    Integers sums[kRows][kSplit][2];
    for (auto& of_row : sums) {
      for (auto& part : of_row) {
        part[0] = part[1] = Integers::Set(0);
      }
    }
    for (size_t d = 0; d < padded_; d += 2 * kSplit) {
      ahead.Step(kSplit * Codes<V, kIsQ4>::kBytes);
      for (size_t s = 0; s < kSplit; ++s) {
        const size_t pair = d / 2 + s;
        const Codes<V, kIsQ4> codes(codes_ + pair * Codes<V, kIsQ4>::kBytes);
        for (size_t r = 0; r < kRows; ++r) {
          const auto factors = V::Pairs::SetPair(room_.factors + r * padded_ + 2 * pair);
          sums[r][s][0] = AddProducts(sums[r][s][0], codes.first, factors);
          sums[r][s][1] = AddProducts(sums[r][s][1], codes.second, factors);
        }
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t half = 0; half < 2; ++half) {
        Integers sum = sums[r][0][half];
        for (size_t s = 1; s < kSplit; ++s) {
          sum = sum + sums[r][s][half];
        }
        const V unit = V::Set(scaled[r].unit);
        const V products =
            kIsQ4 ? Fma(sum.ToFloats(), unit, V::Set(scaled[r].of_minima)) : sum.ToFloats() * unit;
        products.Store(scores[r] + half * kStripes);
      }
    }
  }

 private:
  // A query by channels' scales.
  struct Scaled {
    float unit = 0;
    float of_minima = 0;  // its product with them
  };
  Scaled Scale(const float* q, int16_t* factors) const {
    const std::byte* minima = scales_ + padded_ * sizeof(uint16_t);
    V largest = V::Zero();
    V of_minima = V::Zero();
    for (size_t d = 0; d < padded_; d += kStripes) {
      const bool is_whole = d + kStripes <= dim_;
      const V query = is_whole ? V::Load(q + d) : V::LoadPart(q + d, dim_ - d);
      const V scaled = query * V::LoadF16(scales_ + d * sizeof(uint16_t));
      scaled.Store(room_.scaled + d);
      largest = Max(Abs(scaled), largest);  // which a NaN is not
      if constexpr (kIsQ4) {
        const V of_block = V::LoadF16(minima + d * sizeof(uint16_t));
        of_minima = is_whole ? Fma(query, of_block, of_minima)
                             : FmaPart(query, of_block, of_minima, dim_ - d);
      }
    }
    return {.unit = StoreFactors<V>(room_.scaled, padded_, largest, factors),
            .of_minima = kIsQ4 ? TreeSum(of_minima) : 0.0F};
  }

  const std::byte* scales_;
  size_t dim_;
  size_t padded_;
  const std::byte* codes_;
  FactorRoom room_;
};

template <class V, bool kIsQ4>
class PanelValues {
 public:
  static constexpr size_t kTileRows = V::kTileIntegers / 2;

  PanelValues(const std::byte* data, size_t dim)
      : scales_(data),
        dim_(dim),
        codes_(data + (dim + tensor::kKvGroup - 1) / tensor::kKvGroup * kScalesBytes) {}

  // out_r = out_r * corrections_r + the sum over all slots of p_r * value.
  template <size_t kRows>
  void Add(const float (*p)[kKvBlockTokens], const float* corrections, Ahead& ahead,
           float* const* out) const {
    Weights weights[kRows];
    for (size_t first = 0; first < dim_; first += tensor::kKvGroup) {
      const std::byte* scales = scales_ + first / tensor::kKvGroup * kScalesBytes;
      ahead.Step(kScalesBytes);
      for (size_t r = 0; r < kRows; ++r) {
        weights[r] = Weights(p[r], scales);
      }
      for (size_t d = first; d < first + tensor::kKvGroup && d < dim_; d += kStripes) {
        AddLane<kRows>(d, weights, corrections, ahead, out);
      }
    }
  }

 private:
  using Integers = typename V::Integers;
  static constexpr size_t kScalesBytes = kKvBlockTokens * sizeof(uint16_t);

  // What a row weighs the slots' codes of a group of channels with.
  struct Weights {
    alignas(64) int16_t factors[kKvBlockTokens];
    float unit;
    int32_t of_zeros;  // what the codes that stand for zeros add up to, negative

    Weights() = default;
    Weights(const float* p, const std::byte* scales) {
      const V low = V::Load(p) * V::LoadF16(scales);
      const V high = V::Load(p + kStripes) * V::LoadF16(scales + kStripes * sizeof(uint16_t));
      alignas(64) float scaled[kKvBlockTokens];
      low.Store(scaled);
      high.Store(scaled + kStripes);
      const V largest = Max(Abs(high), Max(Abs(low), V::Zero()));  // which a NaN is not
      unit = StoreFactors<V>(scaled, kKvBlockTokens, largest, factors);
      asm("" : "+m"(factors));  // from where a pair is loaded to every lane at once
      of_zeros = 0;
      if constexpr (kIsQ4) {
        constexpr int16_t kZero = 8;
        of_zeros =
            SumOf(AddProducts(Integers::Set(0), V::Pairs::Load(factors), V::Pairs::Set(-kZero)));
      }
    }
  };

  // kStripes channels from d on.
  template <size_t kRows>
  void AddLane(size_t d, const Weights* weights, const float* corrections, Ahead& ahead,
               float* const* out) const {
    constexpr size_t kUnits = tensor::KvPanel::kValueUnits;
    const std::byte* units = codes_ + d / kStripes * kUnits * Codes<V, kIsQ4>::kBytes;
    Integers sums[kRows][2];
    for (size_t r = 0; r < kRows; ++r) {
      sums[r][0] = sums[r][1] = Integers::Set(0);
    }
    ahead.Step(kUnits * Codes<V, kIsQ4>::kBytes);
    for (size_t i = 0; i < kUnits; ++i) {
      const Codes<V, kIsQ4> codes(units + i * Codes<V, kIsQ4>::kBytes);
      for (size_t r = 0; r < kRows; ++r) {
        const int16_t* factors = weights[r].factors + 4 * i;
        sums[r][0] = AddProducts(sums[r][0], codes.first, V::Pairs::SetPair(factors));
        sums[r][1] = AddProducts(sums[r][1], codes.second, V::Pairs::SetPair(factors + 2));
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      const Integers codes = sums[r][0] + sums[r][1];
      const V sum = (kIsQ4 ? codes + Integers::Set(weights[r].of_zeros) : codes).ToFloats();
      const V unit = V::Set(weights[r].unit);
      const V correction = V::Set(corrections[r]);
      float* at = out[r] + d;
      if (d + kStripes <= dim_) {
        Fma(sum, unit, V::Load(at) * correction).Store(at);
      } else {
        Fma(sum, unit, V::LoadPart(at, dim_ - d) * correction).StorePart(at, dim_ - d);
      }
    }
  }

  const std::byte* scales_;
  size_t dim_;
  const std::byte* codes_;
};

}  // namespace
}  // namespace plimsoll::kernels
