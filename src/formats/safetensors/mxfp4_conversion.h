// Experts in MXFP4 as gpt-oss publishes them: blocks of 32 values, two in a byte, and their scales
// in tensors of their own.
#pragma once

#include <utility>
#include <vector>

#include "formats/safetensors/matrix_conversion.h"

namespace plimsoll::formats::safetensors {

// blocks: [experts][rows][blocks of a row][16], scales: [experts][rows][blocks of a row]. Gives
// GGUF's blocks of the rows that the view shows. There a scale comes first, and a byte has values
// that are half a block apart, where here they are neighbours.
class Mxfp4Conversion final : public Conversion {
 public:
  Mxfp4Conversion(StoredTensor blocks, StoredTensor scales, MatrixView view)
      : blocks_(std::move(blocks)), scales_(std::move(scales)), view_(std::move(view)) {}

  [[nodiscard]] Result<> Read(const Catalogue& catalogue, uint64_t offset,
                              std::span<std::byte> out) const override;

 private:
  [[nodiscard]] Result<> ReadRow(const Catalogue& catalogue, uint64_t row,
                                 std::vector<std::byte>& out) const;

  StoredTensor blocks_;
  StoredTensor scales_;
  MatrixView view_;
};

}  // namespace plimsoll::formats::safetensors
