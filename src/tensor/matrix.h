// Non-owning views of weights that are in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace plimsoll::tensor {

// How the blocks of a matrix are arranged. Both give the same bits in every kernel.
enum class Layout : uint8_t {
  kNative,  // row after row, each in GGUF's own blocks
  // Groups of sixteen rows, interleaved: block 0 of all sixteen, then block 1, ... And of these
  // blocks the units (tensor/rows16.h): the first of all sixteen, then the second, ... A last group
  // of fewer rows is interleaved by their number.
  // Float types: kernels have k in the lanes, so a unit is sixteen elements of a row. A group is
  // cut into panels of 512 columns, each of these into two halves of eight rows, and there the
  // units are interleaved. The rest of a row, of fewer than sixteen elements, is a unit too.
  kRows16,
};
inline constexpr uint64_t kRowsPerGroup = 16;
inline constexpr uint64_t kFloatPanel = 512;

// Views may be over-read: every matrix is followed by this many readable bytes.
inline constexpr size_t kReadablePadding = 64;

// A weight matrix of `rows` rows of length k; y = W x reads it row by row.
struct Matrix {
  DType dtype = DType::kF32;
  Layout layout = Layout::kNative;
  uint64_t k = 0;  // length of a row, a multiple of the type's block
  uint64_t rows = 0;
  const std::byte* data = nullptr;  // null while it is not in memory
  const float* scale = nullptr;     // of products with it, and of its rows as floats; null: 1

  [[nodiscard]] uint64_t row_bytes() const {
    const DTypeTraits& t = Traits(dtype);
    return k / t.block_elements * t.block_bytes;
  }
  [[nodiscard]] uint64_t bytes() const { return row_bytes() * rows; }
  // Block b of row r, as GGUF has it.
  void CopyBlock(uint64_t r, uint64_t b, std::byte* out) const;
  [[nodiscard]] bool empty() const { return rows == 0; }
};

// Equal matrices one behind another, for example a layer's gate projections, one an expert. Their
// scales, if the first has one, are behind one another too.
struct MatrixStack {
  Matrix first;
  uint64_t n = 0;

  [[nodiscard]] Matrix operator[](uint64_t i) const {
    Matrix m = first;
    m.data += i * first.bytes();
    if (m.scale != nullptr) {
      m.scale += i;
    }
    return m;
  }
  [[nodiscard]] bool empty() const { return n == 0; }
};

}  // namespace plimsoll::tensor
