// The rows that a kernel meets at once, and how their blocks are read from each layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/generic/prefetcher.h"
#include "tensor/matrix.h"
#include "tensor/rows16.h"

namespace plimsoll::kernels {
namespace {

// At most V::kLanes rows of a matrix, from a multiple of V::kLanes on.
struct RowGroup {
  const tensor::Matrix* matrix;
  uint64_t row;
  size_t n_rows;
};

template <class V>
RowGroup MakeRowGroup(const tensor::Matrix& w, uint64_t row, uint64_t row_end) {
  const uint64_t rows = row < row_end ? row_end - row : 0;
  return {&w, row, static_cast<size_t>(rows < V::kLanes ? rows : V::kLanes)};
}

// One block of each row of a group, rows any distance apart. Reads up to sixteen bytes past what it
// is asked for.
template <class V>
class StridedRows {
 public:
  using Int = typename V::Int;
  using Float = typename V::Float;

  StridedRows(const std::byte* p, size_t stride) : p_(p), stride_(stride) {}

  // Four dwords of each row, from `offset` in the block on: out[i] has dword i of row r in lane r.
  void Columns(size_t offset, Int* out) const { V::LoadColumns(p_ + offset, stride_, out); }
  [[nodiscard]] Int Column(size_t offset) const { return V::LoadColumn(p_ + offset, stride_); }
  [[nodiscard]] Int ByteColumn(size_t offset) const { return V::And(Column(offset), V::Set(0xff)); }
  // The F16 at `offset`; and the two from there on.
  [[nodiscard]] Float Halves(size_t offset) const { return V::GatherHalves(p_ + offset, stride_); }
  void TwoHalves(size_t offset, Float* first, Float* second) const {
    const Int both = Column(offset);
    *first = V::LowHalfToFloat(both);
    *second = V::HighHalfToFloat(both);
  }
  // Sixteen bytes of each row, together.
  void Pieces(size_t offset, Int* out) const { V::LoadRows(p_ + offset, stride_, out); }

 private:
  const std::byte* p_;
  size_t stride_;
};

// The same of rows that lie in a full group of rows16, where a unit of all sixteen blocks lies
// together: everything is a load. `first`: the place in the sixteen of the first row.
template <class V, class Block>
class InterleavedRows {
 public:
  using Int = typename V::Int;
  using Float = typename V::Float;

  InterleavedRows(const std::byte* p, size_t first)
      : p_(p), first_(V::kLanes == tensor::kRowsPerGroup ? 0 : first) {}

  void Columns(size_t offset, Int* out) const {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      out[i] = Column(offset + 4 * i);
    }
  }
  [[nodiscard]] Int Column(size_t offset) const { return V::LoadDwords(Unit(offset, 4)); }
  [[nodiscard]] Int ByteColumn(size_t offset) const { return V::LoadBytes(Unit(offset, 1)); }
  [[nodiscard]] Float Halves(size_t offset) const { return V::LoadHalves(Unit(offset, 2)); }
  void TwoHalves(size_t offset, Float* first, Float* second) const {
    *first = Halves(offset);
    *second = Halves(offset + 2);
  }

 private:
  [[nodiscard]] const std::byte* Unit(size_t offset, size_t bytes) const {
    const size_t stored = tensor::kStoredOffsets<Block::kDType>.at[offset];
    return p_ + tensor::kRowsPerGroup * stored + first_ * bytes;
  }

  const std::byte* p_;
  size_t first_;
};

// Block b of a group in full, from either layout.
template <class V, class Type>
class InterleavedGroup {
 public:
  explicit InterleavedGroup(const RowGroup& group)
      : base_(group.matrix->data + (group.row - group.row % tensor::kRowsPerGroup) *
                                       (group.matrix->k / Type::Block::kElements) *
                                       sizeof(typename Type::Block)),
        first_(group.row % tensor::kRowsPerGroup) {}

  [[nodiscard]] const std::byte* base() const { return base_; }
  [[gnu::always_inline]] InterleavedRows<V, typename Type::Block> At(uint64_t b) const {
    return {base_ + b * tensor::kRowsPerGroup * sizeof(typename Type::Block), first_};
  }

 private:
  const std::byte* base_;
  size_t first_;
};

// Native rows, or those of any group that is not full, as if it had all V::kLanes rows: missing
// ones are zero.
template <class V, class Type>
class StridedGroup {
 public:
  using Block = typename Type::Block;

  explicit StridedGroup(const RowGroup& group)
      : group_(group), row_bytes_(group.matrix->k / Block::kElements * sizeof(Block)) {
    const bool direct =
        group.matrix->layout == tensor::Layout::kNative && group.n_rows == V::kLanes;
    native_ = direct ? group.matrix->data + group.row * row_bytes_ : nullptr;
    if (!direct) {
      __builtin_memset(padded_, 0, sizeof padded_);
    }
  }

  // Valid until the next call.
  [[gnu::always_inline]] StridedRows<V> At(uint64_t b) {
    if (__builtin_expect(native_ != nullptr, 1)) {
      return {native_ + b * sizeof(Block), row_bytes_};
    }
    for (size_t r = 0; r < group_.n_rows; ++r) {
      group_.matrix->CopyBlock(group_.row + r, b, padded_ + r * sizeof(Block));
    }
    return {padded_, sizeof(Block)};
  }

 private:
  RowGroup group_;
  size_t row_bytes_;
  const std::byte* native_;
  alignas(64) std::byte padded_[V::kLanes * sizeof(Block) + 16];
};

// Whether two groups are the halves of sixteen rows that lie interleaved.
template <class V>
bool AreHalves(const RowGroup* groups) {
  return groups[0].matrix->layout == tensor::Layout::kRows16 &&
         groups[0].row % tensor::kRowsPerGroup == 0 && groups[1].n_rows == V::kLanes;
}

// Calls f with a source of the group's blocks.
template <class V, class Type, class F>
void WithBlocksOf(const RowGroup& group, const F& f) {
  const tensor::Matrix& w = *group.matrix;
  const uint64_t sixteen = group.row - group.row % tensor::kRowsPerGroup;
  if (w.layout == tensor::Layout::kRows16 && group.n_rows == V::kLanes &&
      w.rows - sixteen >= tensor::kRowsPerGroup) {
    f(InterleavedGroup<V, Type>(group));
  } else {
    f(StridedGroup<V, Type>(group));
  }
}

// What to prefetch while the group at `row` is computed: as many bytes as it has, so far on that
// they arrive in time. `row_end`: of the rows that are wanted.
template <class V, class Type>
Upcoming AheadOf(const tensor::Matrix& w, uint64_t row, uint64_t row_end) {
  const bool native = w.layout == tensor::Layout::kNative;
  const size_t row_bytes = w.k / Type::Block::kElements * sizeof(typename Type::Block);
  const auto rows = [&](uint64_t first) {
    const uint64_t end = first + V::kLanes < w.rows ? first + V::kLanes : w.rows;
    return Upcoming{w.data + first * row_bytes, w.data + end * row_bytes};
  };
  // Sixteen lanes read a rows16 matrix as one stream, which the processor prefetches by itself and
  // software would only disturb (22 instead of 32 GB/s), or needs only to be led into the next
  // pages. Sixteen streams, or half of each group, it cannot follow.
  if (!native && V::kLanes == tensor::kRowsPerGroup) {
    if (CpuLosesStreamsAtPages()) {
      Upcoming stream = rows(row);
      stream.by_leads = true;
      return stream;
    }
    if (!Type::kPrefetchStream) {
      return {};
    }
  }
  const uint64_t next = row + (native ? V::kLanes : tensor::kRowsPerGroup);
  return next < row_end ? rows(next) : Upcoming{};
}

}  // namespace
}  // namespace plimsoll::kernels
