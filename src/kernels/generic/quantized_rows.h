// Where the blocks of a group of rows are.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "tensor/matrix.h"

namespace plimsoll::kernels {
namespace {

// At most V::kLanes rows of a matrix, in either layout: block b of row r is at
// base + r * row_stride + b * block_stride.
struct RowGroup {
  const std::byte* base;
  size_t row_stride;
  size_t block_stride;
  size_t n_rows;
};

// The rows from `row`, a multiple of V::kLanes, to at most row_end. (Matrix's own functions are
// inline with external linkage, which sources of one instruction set must not instantiate.)
template <class V, class Type>
RowGroup MakeRowGroup(const tensor::Matrix& w, uint64_t row, uint64_t row_end) {
  constexpr size_t kBlockBytes = sizeof(typename Type::Block);
  const size_t row_bytes = w.k / Type::Block::kElements * kBlockBytes;
  const uint64_t interleaved = row / tensor::kRowsPerGroup * tensor::kRowsPerGroup;
  const uint64_t left = w.rows - interleaved;
  const uint64_t interleaved_rows = left < tensor::kRowsPerGroup ? left : tensor::kRowsPerGroup;
  const bool native = w.layout == tensor::Layout::kNative;
  RowGroup group;
  group.row_stride = native ? row_bytes : kBlockBytes;
  group.block_stride = native ? kBlockBytes : interleaved_rows * kBlockBytes;
  group.base = w.data + interleaved * row_bytes + (row - interleaved) * group.row_stride;
  const uint64_t rows = row < row_end ? row_end - row : 0;
  group.n_rows = static_cast<size_t>(rows < V::kLanes ? rows : V::kLanes);
  return group;
}

// Reads a group block by block as if it had all V::kLanes rows: missing ones are zero.
template <class V, class Type>
class GroupReader {
 public:
  using Block = typename Type::Block;

  explicit GroupReader(const RowGroup& group) : group_(group) {
    if (group.n_rows < V::kLanes) {
      __builtin_memset(padded_, 0, sizeof padded_);
    }
  }

  // Block b of the group's first row and the distance to the next row's. Valid until the next call.
  [[gnu::always_inline]] const std::byte* At(uint64_t b, size_t* stride) {
    const std::byte* p = group_.base + b * group_.block_stride;
    if (__builtin_expect(group_.n_rows == V::kLanes, 1)) {
      *stride = group_.row_stride;
      return p;
    }
    for (size_t r = 0; r < group_.n_rows; ++r) {
      __builtin_memcpy(padded_ + r * sizeof(Block), p + r * group_.row_stride, sizeof(Block));
    }
    *stride = sizeof(Block);
    return padded_;
  }

 private:
  RowGroup group_;
  // Vector loads may read 16 bytes from any byte of a block.
  alignas(64) std::byte padded_[V::kLanes * sizeof(Block) + 16];
};

// Nothing when both are null.
struct ByteRange {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
};

// What to prefetch while the group at `row` is computed: as many bytes as it has, so far on that
// they arrive in time. `row_end`: of the rows that are wanted.
template <class V, class Type>
ByteRange NextRows(const tensor::Matrix& w, uint64_t row, uint64_t row_end) {
  const bool native = w.layout == tensor::Layout::kNative;
  // Of a rows16 matrix in blocks of 32, sixteen lanes read one stream, which the processor
  // prefetches by itself and software would only disturb (22 instead of 32 GB/s). Sixteen streams,
  // half of each group, or the jumps inside a super-block, it cannot follow.
  const bool one_stream =
      !native && V::kLanes == tensor::kRowsPerGroup && Type::Block::kElements == 32;
  const uint64_t next = row + (native ? V::kLanes : tensor::kRowsPerGroup);
  if (one_stream || next >= row_end) {
    return {};
  }
  const size_t row_bytes = w.k / Type::Block::kElements * sizeof(typename Type::Block);
  const uint64_t end = next + V::kLanes < w.rows ? next + V::kLanes : w.rows;
  return {w.data + next * row_bytes, w.data + end * row_bytes};
}

// Asks for the next bytes of a range that will be needed soon, a step at a time, so that memory is
// busy while the current group is computed from the caches.
class Prefetcher {
 public:
  explicit Prefetcher(ByteRange range)
      : next_(reinterpret_cast<uintptr_t>(range.begin)),
        end_(reinterpret_cast<uintptr_t>(range.end)) {}

  void Step(size_t bytes) {
    const uintptr_t stop = next_ + bytes < end_ ? next_ + bytes : end_;
    for (; next_ < stop; next_ += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next_), _MM_HINT_T1);
    }
  }

 private:
  // As numbers: they may run past the end of what they point into, and are never read through.
  uintptr_t next_;
  uintptr_t end_;
};

}  // namespace
}  // namespace plimsoll::kernels
