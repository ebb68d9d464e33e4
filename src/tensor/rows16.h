// Weights from GGUF's arrangement into the one that kernels read fastest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"

namespace plimsoll::tensor {

// Turns a matrix that arrives row after row into Layout::kRows16 in place, group by group: what
// has arrived can be turned while the rest is still being read.
class Rows16Interleaver {
 public:
  // A stack of matrices of `rows` rows of length k each, one behind another from `data` on.
  Rows16Interleaver(DType dtype, uint64_t k, uint64_t rows, std::byte* data);

  // Turns every group of rows that ends within the first `n_bytes` and is not turned yet.
  void Advance(uint64_t n_bytes);

 private:
  uint64_t block_bytes_;
  uint64_t row_bytes_;
  uint64_t rows_;
  std::byte* next_;          // the next group
  uint64_t done_bytes_ = 0;  // up to there
  uint64_t row_ = 0;         // of its matrix, that of the next group
  std::vector<std::byte> group_;
};

}  // namespace plimsoll::tensor
