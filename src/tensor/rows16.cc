#include "tensor/rows16.h"

#include <algorithm>
#include <cstring>

#include "tensor/matrix.h"

namespace plimsoll::tensor {
namespace {

using FourDwords = uint32_t __attribute__((vector_size(16)));

// Rows of a group, block for block, to their units.
struct Group {
  const DTypeTraits& traits;
  const std::byte* rows;
  uint64_t n;
  uint64_t row_bytes;

  [[nodiscard]] const std::byte* Block(uint64_t r, uint64_t b) const {
    return rows + r * row_bytes + b * traits.block_bytes;
  }
};

template <size_t kBytes>
void CopyUnits(const std::byte* from, uint64_t stride, uint64_t n, std::byte* out) {
  for (uint64_t r = 0; r < n; ++r) {
    std::memcpy(out + r * kBytes, from + r * stride, kBytes);
  }
}

// One unit of each of n rows, `stride` apart. Copies of a size that the compiler knows are several
// times as fast.
void CopyUnits(const std::byte* from, uint64_t stride, uint64_t n, uint32_t bytes, std::byte* out) {
  switch (bytes) {
    case 1:
      return CopyUnits<1>(from, stride, n, out);
    case 2:
      return CopyUnits<2>(from, stride, n, out);
    default:
      return CopyUnits<4>(from, stride, n, out);
  }
}

// Four dwords of each of sixteen rows: all rows' first, all rows' second, and on.
void TransposeDwords(const std::byte* from, uint64_t stride, std::byte* out) {
  for (uint64_t r = 0; r < kRowsPerGroup; r += 4) {
    FourDwords a[4];
    for (uint64_t i = 0; i < 4; ++i) {
      std::memcpy(&a[i], from + (r + i) * stride, sizeof a[i]);
    }
    const FourDwords low01 = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5);
    const FourDwords low23 = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5);
    const FourDwords high01 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7);
    const FourDwords high23 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
    const FourDwords columns[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                                   __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                                   __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                                   __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
    for (uint64_t i = 0; i < 4; ++i) {
      std::memcpy(out + i * kRowsPerGroup * 4 + r * 4, &columns[i], sizeof columns[i]);
    }
  }
}

void InterleaveBlock(const Group& group, uint64_t b, std::byte* out) {
  for (const UnitSpan& span : UnitSpansOf(group.traits.dtype)) {
    const std::byte* from = group.Block(0, b) + span.offset;
    uint64_t done = 0;
    if (group.n == kRowsPerGroup && span.unit == 4) {
      for (; done + 16 <= span.bytes; done += 16) {
        TransposeDwords(from + done, group.row_bytes, out + done * group.n);
      }
    }
    for (; done < span.bytes; done += span.unit) {
      CopyUnits(from + done, group.row_bytes, group.n, span.unit, out + done * group.n);
    }
    out += span.bytes * group.n;
  }
}

// Columns [begin, end) of rows [first, last).
std::byte* InterleaveFloats(const Group& group, uint64_t begin, uint64_t end, uint64_t first,
                            uint64_t last, std::byte* out) {
  const uint64_t element = group.traits.block_bytes;
  for (uint64_t at = begin; at < end; at += kFloatUnit) {
    const uint64_t bytes = std::min(end - at, kFloatUnit) * element;
    for (uint64_t r = first; r < last; ++r, out += bytes) {
      std::memcpy(out, group.Block(r, at), bytes);
    }
  }
  return out;
}

void InterleaveFloats(const Group& group, std::byte* out) {
  const uint64_t k = group.row_bytes / group.traits.block_bytes;
  for (uint64_t begin = 0; begin < k; begin += kFloatPanel) {
    const uint64_t end = std::min(begin + kFloatPanel, k);
    for (uint64_t first = 0; first < group.n; first += kFloatHalf) {
      out = InterleaveFloats(group, begin, end, first, std::min(first + kFloatHalf, group.n), out);
    }
  }
}

void Interleave(const Group& group, std::byte* out) {
  if (group.traits.block_elements == 1) {
    return InterleaveFloats(group, out);
  }
  for (uint64_t b = 0; b < group.row_bytes / group.traits.block_bytes; ++b) {
    InterleaveBlock(group, b, out);
    out += group.n * group.traits.block_bytes;
  }
}

}  // namespace

Rows16Interleaver::Rows16Interleaver(DType dtype, uint64_t k, uint64_t rows, std::byte* data)
    : traits_(Traits(dtype)),
      row_bytes_(k / traits_.block_elements * traits_.block_bytes),
      rows_(rows),
      next_(data),
      group_(std::min(rows, kRowsPerGroup) * row_bytes_) {}

void Rows16Interleaver::Advance(uint64_t n_bytes) {
  while (true) {
    const uint64_t n = std::min(rows_ - row_, kRowsPerGroup);
    const uint64_t bytes = n * row_bytes_;
    if (bytes == 0 || n_bytes - done_bytes_ < bytes) {
      return;
    }
    std::memcpy(group_.data(), next_, bytes);
    Interleave({traits_, group_.data(), n, row_bytes_}, next_);
    next_ += bytes;
    done_bytes_ += bytes;
    row_ = row_ + n == rows_ ? 0 : row_ + n;
  }
}

}  // namespace plimsoll::tensor
