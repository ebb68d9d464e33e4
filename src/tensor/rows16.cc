#include "tensor/rows16.h"

#include <algorithm>
#include <cstring>

#include "tensor/matrix.h"

namespace plimsoll::tensor {
namespace {

// From n rows behind one another to block 0 of each, block 1 of each, and on. Copies of a size that
// the compiler knows are several times as fast.
template <uint64_t kBlockBytes>
void Interleave(const std::byte* rows, uint64_t n, uint64_t row_bytes, std::byte* out) {
  for (uint64_t b = 0; b < row_bytes; b += kBlockBytes) {
    for (uint64_t r = 0; r < n; ++r, out += kBlockBytes) {
      std::memcpy(out, rows + r * row_bytes + b, kBlockBytes);
    }
  }
}

void Interleave(uint64_t block_bytes, const std::byte* rows, uint64_t n, uint64_t row_bytes,
                std::byte* out) {
  switch (block_bytes) {
    case 18:  // Q4_0, IQ4_NL
      return Interleave<18>(rows, n, row_bytes, out);
    case 34:  // Q8_0
      return Interleave<34>(rows, n, row_bytes, out);
    case 144:  // Q4_K
      return Interleave<144>(rows, n, row_bytes, out);
    case 17:  // MXFP4
      return Interleave<17>(rows, n, row_bytes, out);
    default:
      for (uint64_t b = 0; b < row_bytes; b += block_bytes) {
        for (uint64_t r = 0; r < n; ++r, out += block_bytes) {
          std::memcpy(out, rows + r * row_bytes + b, block_bytes);
        }
      }
  }
}

}  // namespace

Rows16Interleaver::Rows16Interleaver(DType dtype, uint64_t k, uint64_t rows, std::byte* data)
    : block_bytes_(Traits(dtype).block_bytes),
      row_bytes_(k / Traits(dtype).block_elements * block_bytes_),
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
    Interleave(block_bytes_, group_.data(), n, row_bytes_, next_);
    next_ += bytes;
    done_bytes_ += bytes;
    row_ = row_ + n == rows_ ? 0 : row_ + n;
  }
}

}  // namespace plimsoll::tensor
