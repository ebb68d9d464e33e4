// One row of a wide matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"
#include "tools/inflate/axis.h"

namespace plimsoll::inflate {

// Widens rows by one axis and rounds them to a type. A value has several copies in a row, and what
// counts is their sum: what rounding takes from one copy is given to the next, so that the sum is
// off by no more than the rounding of the last ones. Not thread-safe.
class RowWidener {
 public:
  // `columns` outlives this. Its size is a whole number of blocks of `dtype`.
  RowWidener(const Axis& columns, tensor::DType dtype);

  [[nodiscard]] uint64_t row_bytes() const { return row_bytes_; }
  // `small` has columns.n_source values, `out` row_bytes(). kBadModel names the column where there
  // is something that is no weight.
  [[nodiscard]] Result<> Widen(std::span<const float> small, std::span<std::byte> out);

 private:
  [[nodiscard]] Result<> WidenBlock(size_t first_column, std::span<const float> small,
                                    std::span<std::byte> out);

  const Axis& columns_;
  tensor::DType dtype_;
  uint64_t row_bytes_;
  std::vector<float> owed_;         // [n_source]: what the copies so far are short of
  std::vector<uint32_t> n_copies_;  // [n_source]: in the block at hand
  std::vector<float> values_;       // of the block at hand
  std::vector<float> rounded_;
  std::vector<std::byte> block_;
};

// Makes every value of a row 0 by its blocks' scales and leaves the codes, so that the file is as
// hard to compress as any other. The float types have no scales: their values become 0.
void Silence(tensor::DType dtype, std::span<std::byte> row);

}  // namespace plimsoll::inflate
