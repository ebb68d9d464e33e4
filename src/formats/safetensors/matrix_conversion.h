// Tensors of GGUF's that are made of a folder's: matrices seen otherwise, widened values, and what
// is stored in blocks of 8 or 4 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/catalogue.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/matrix_view.h"

namespace plimsoll::formats::safetensors {

// A tensor of one of the catalogue's files.
struct StoredTensor {
  RawTensor tensor;
  uint32_t file_idx = 0;
};

// One of several matrices, each of n_rows x n_columns.
struct StoredMatrices {
  StoredTensor stored;
  // Of 8-bit values: a factor for each block, of so many rows and columns, in rows of blocks.
  std::optional<StoredTensor> scales;
};

struct StoredStack {
  std::vector<StoredMatrices> tensors;  // of one type and shape
  uint64_t n_matrices = 0;              // of each tensor
  uint64_t n_rows = 0;                  // of each matrix
  uint64_t n_columns = 0;
  uint64_t block_rows = 0;  // of the scales
  uint64_t block_columns = 0;
};

// Of each matrix what the view shows, as the stored type or as F32. Memory while reading is that of
// the rows that are asked for.
class MatrixConversion final : public Conversion {
 public:
  MatrixConversion(StoredStack stack, MatrixView view, bool widens)
      : stack_(std::move(stack)), view_(std::move(view)), widens_(widens) {}

  [[nodiscard]] Result<> Read(const Catalogue& catalogue, uint64_t offset,
                              std::span<std::byte> out) const override;

 private:
  // Rows of one matrix.
  struct Part {
    const StoredMatrices* tensor = nullptr;
    uint64_t matrix = 0;  // of the tensor
    uint64_t first = 0;   // row as it comes out
    uint64_t n = 0;
  };

  [[nodiscard]] uint64_t row_bytes() const;
  [[nodiscard]] StoredType type() const { return stack_.tensors.front().stored.tensor.type; }
  [[nodiscard]] uint64_t StoredRowOf(uint64_t row) const {
    return view_.rows.empty() ? row : view_.rows[row];
  }

  [[nodiscard]] Result<> ReadRows(const Catalogue& catalogue, uint64_t first, uint64_t n,
                                  std::span<std::byte> out) const;
  [[nodiscard]] Result<> ReadPart(const Catalogue& catalogue, const Part& part,
                                  std::byte* out) const;
  [[nodiscard]] Result<> ReadTransposed(const Catalogue& catalogue, const Part& part,
                                        std::byte* out) const;
  // `n_values` from a stored row and column on.
  [[nodiscard]] Result<> ReadStored(const Catalogue& catalogue, const Part& part, uint64_t row,
                                    uint64_t column, uint64_t n_values,
                                    std::vector<std::byte>& bytes) const;
  [[nodiscard]] Result<> ReadScales(const Catalogue& catalogue, const Part& part, uint64_t row,
                                    std::vector<float>& scales) const;
  void PutValue(const std::byte* from, float scale, std::byte* to) const;

  StoredStack stack_;
  MatrixView view_;
  bool widens_;
};

// Values that no file has.
class FloatConversion final : public Conversion {
 public:
  explicit FloatConversion(std::vector<float> values) : values_(std::move(values)) {}
  [[nodiscard]] Result<> Read(const Catalogue& catalogue, uint64_t offset,
                              std::span<std::byte> out) const override;

 private:
  std::vector<float> values_;
};

}  // namespace plimsoll::formats::safetensors
