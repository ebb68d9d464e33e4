// The rows16 layout: sixteen rows interleaved so that kernels with a row a lane load what they want
// as it lies in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/dtype.h"

namespace plimsoll::tensor {

// Of float types: rows and columns of what is interleaved (Layout::kRows16).
inline constexpr uint64_t kFloatHalf = 8;
inline constexpr uint64_t kFloatUnit = 16;

// Of quantized types a part of a block, from `offset` on, that is cut into units of `unit` bytes:
// what stays whole when rows are interleaved.
struct UnitSpan {
  uint16_t offset;
  uint16_t bytes;
  uint16_t unit;
};

// The parts of a block in the order in which rows16 stores them, which is that in which kernels
// read: what a block's arithmetic needs first, then its weights. Single scales are units of their
// own; all else goes in dwords, the columns of the dot products.
namespace unit_spans {
inline constexpr UnitSpan kQ8_0[] = {{0, 2, 2}, {2, 32, 4}};
inline constexpr UnitSpan kQ4_0[] = {{0, 2, 2}, {2, 16, 4}};
inline constexpr UnitSpan kQ4_1[] = {{0, 4, 2}, {4, 16, 4}};
inline constexpr UnitSpan kQ5_0[] = {{0, 2, 2}, {2, 20, 4}};
inline constexpr UnitSpan kQ5_1[] = {{0, 4, 2}, {4, 20, 4}};
inline constexpr UnitSpan kMXFP4[] = {{0, 1, 1}, {1, 16, 4}};
inline constexpr UnitSpan kNVFP4[] = {{0, 36, 4}};
inline constexpr UnitSpan kQ2_K[] = {{80, 4, 4}, {0, 80, 4}};
inline constexpr UnitSpan kQ3_K[] = {{108, 2, 2}, {96, 12, 4}, {0, 96, 4}};
inline constexpr UnitSpan kQ4_K[] = {{0, 144, 4}};
inline constexpr UnitSpan kQ5_K[] = {{0, 176, 4}};
// 64 weights are 16 bytes of low halves, 16 more that are 32 bytes on, and 16 of high parts.
inline constexpr UnitSpan kQ6_K[] = {{208, 2, 2},  {192, 16, 4},                             //
                                     {0, 16, 4},   {32, 16, 4},  {128, 16, 4}, {16, 16, 4},  //
                                     {48, 16, 4},  {144, 16, 4}, {64, 16, 4},  {96, 16, 4},  //
                                     {160, 16, 4}, {80, 16, 4},  {112, 16, 4}, {176, 16, 4}};
inline constexpr UnitSpan kIQ2_XXS[] = {{0, 2, 2}, {2, 64, 4}};
inline constexpr UnitSpan kIQ2_XS[] = {{0, 2, 2}, {66, 8, 4}, {2, 64, 4}};
inline constexpr UnitSpan kIQ2_S[] = {{0, 2, 2}, {74, 8, 4}, {2, 72, 4}};
inline constexpr UnitSpan kIQ3_XXS[] = {{0, 2, 2}, {66, 32, 4}, {2, 64, 4}};
inline constexpr UnitSpan kIQ3_S[] = {{0, 2, 2}, {106, 4, 4}, {66, 40, 4}, {2, 64, 4}};
inline constexpr UnitSpan kIQ1_S[] = {{0, 2, 2}, {34, 16, 4}, {2, 32, 4}};
inline constexpr UnitSpan kIQ1_M[] = {{48, 8, 4}, {0, 48, 4}};
inline constexpr UnitSpan kTQ1_0[] = {{52, 2, 2}, {0, 52, 4}};
inline constexpr UnitSpan kTQ2_0[] = {{64, 2, 2}, {0, 64, 4}};
inline constexpr UnitSpan kIQ4_XS[] = {{0, 136, 4}};
}  // namespace unit_spans

[[nodiscard]] constexpr std::span<const UnitSpan> UnitSpansOf(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
      return unit_spans::kQ8_0;
    case DType::kQ4_0:
    case DType::kIQ4_NL:
      return unit_spans::kQ4_0;
    case DType::kQ4_1:
      return unit_spans::kQ4_1;
    case DType::kQ5_0:
      return unit_spans::kQ5_0;
    case DType::kQ5_1:
      return unit_spans::kQ5_1;
    case DType::kMXFP4:
      return unit_spans::kMXFP4;
    case DType::kNVFP4:
      return unit_spans::kNVFP4;
    case DType::kQ2_K:
      return unit_spans::kQ2_K;
    case DType::kQ3_K:
      return unit_spans::kQ3_K;
    case DType::kQ4_K:
      return unit_spans::kQ4_K;
    case DType::kQ5_K:
      return unit_spans::kQ5_K;
    case DType::kQ6_K:
      return unit_spans::kQ6_K;
    case DType::kIQ4_XS:
      return unit_spans::kIQ4_XS;
    case DType::kIQ2_XXS:
      return unit_spans::kIQ2_XXS;
    case DType::kIQ2_XS:
      return unit_spans::kIQ2_XS;
    case DType::kIQ2_S:
      return unit_spans::kIQ2_S;
    case DType::kIQ3_XXS:
      return unit_spans::kIQ3_XXS;
    case DType::kIQ3_S:
      return unit_spans::kIQ3_S;
    case DType::kIQ1_S:
      return unit_spans::kIQ1_S;
    case DType::kIQ1_M:
      return unit_spans::kIQ1_M;
    case DType::kTQ1_0:
      return unit_spans::kTQ1_0;
    case DType::kTQ2_0:
      return unit_spans::kTQ2_0;
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  return {};
}

// Where the unit at an offset of a block is stored, as bytes of one block: of n interleaved blocks
// it begins at n times that.
struct StoredOffsets {
  uint16_t at[256] = {};
};

[[nodiscard]] consteval StoredOffsets MakeStoredOffsets(DType dtype) {
  StoredOffsets offsets;
  uint16_t stored = 0;
  for (const UnitSpan& span : UnitSpansOf(dtype)) {
    for (uint16_t i = 0; i < span.bytes; i = static_cast<uint16_t>(i + span.unit)) {
      offsets.at[span.offset + i] = static_cast<uint16_t>(stored + i);
    }
    stored = static_cast<uint16_t>(stored + span.bytes);
  }
  return offsets;
}

template <DType kDType>
inline constexpr StoredOffsets kStoredOffsets = MakeStoredOffsets(kDType);

// Turns a matrix that arrives row after row into Layout::kRows16 in place, group by group: what
// has arrived can be turned while the rest is still being read.
class Rows16Interleaver {
 public:
  // A stack of matrices of `rows` rows of length k each, one behind another from `data` on.
  Rows16Interleaver(DType dtype, uint64_t k, uint64_t rows, std::byte* data);

  // Turns every group of rows that ends within the first `n_bytes` and is not turned yet.
  void Advance(uint64_t n_bytes);

 private:
  const DTypeTraits& traits_;
  uint64_t row_bytes_;
  uint64_t rows_;
  std::byte* next_;          // the next group
  uint64_t done_bytes_ = 0;  // up to there
  uint64_t row_ = 0;         // of its matrix, that of the next group
  std::vector<std::byte> group_;
};

}  // namespace plimsoll::tensor
