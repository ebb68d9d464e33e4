#include "formats/safetensors/matrix_conversion.h"

#include <algorithm>
#include <cstring>

#include "base/math.h"
#include "formats/safetensors/stored_value.h"

namespace plimsoll::formats::safetensors {
namespace {

float Changed(float value, ValueChange change) {
  switch (change) {
    case ValueChange::kNone:
      return value;
    case ValueChange::kPlusOne:
      return value + 1.0F;
    case ValueChange::kMinusExp:
      return static_cast<float>(-StableExp(value));
  }
  return value;
}

}  // namespace

uint64_t MatrixConversion::row_bytes() const {
  return view_.n_columns * (widens_ ? sizeof(float) : BytesOfValue(type()));
}

Result<> MatrixConversion::Read(const Catalogue& catalogue, uint64_t offset,
                                std::span<std::byte> out) const {
  const uint64_t bytes = row_bytes();
  const uint64_t first = offset / bytes;
  const uint64_t end = (offset + out.size() + bytes - 1) / bytes;
  if (offset % bytes == 0 && out.size() % bytes == 0) {
    return ReadRows(catalogue, first, end - first, out);
  }
  std::vector<std::byte> rows((end - first) * bytes);
  if (auto read = ReadRows(catalogue, first, end - first, rows); !read) {
    return read;
  }
  std::memcpy(out.data(), rows.data() + (offset - first * bytes), out.size());
  return {};
}

Result<> MatrixConversion::ReadRows(const Catalogue& catalogue, uint64_t first, uint64_t n,
                                    std::span<std::byte> out) const {
  std::byte* at = out.data();
  for (const uint64_t end = first + n; first < end;) {
    const uint64_t matrix = first / view_.n_rows;
    Part part = {.tensor = &stack_.tensors[matrix / stack_.n_matrices],
                 .matrix = matrix % stack_.n_matrices,
                 .first = first % view_.n_rows};
    part.n = std::min(end - first, view_.n_rows - part.first);
    auto read =
        view_.transposed ? ReadTransposed(catalogue, part, at) : ReadPart(catalogue, part, at);
    if (!read) {
      return read;
    }
    at += part.n * row_bytes();
    first += part.n;
  }
  return {};
}

Result<> MatrixConversion::ReadStored(const Catalogue& catalogue, const Part& part, uint64_t row,
                                      uint64_t column, uint64_t n_values,
                                      std::vector<std::byte>& bytes) const {
  const uint64_t value_bytes = BytesOfValue(type());
  const uint64_t at = (part.matrix * stack_.n_rows + row) * stack_.n_columns + column;
  const StoredTensor& stored = part.tensor->stored;
  bytes.resize(n_values * value_bytes);
  return catalogue.files[stored.file_idx]->ReadAt(stored.tensor.offset + at * value_bytes, bytes);
}

// Of the blocks that the row goes through.
Result<> MatrixConversion::ReadScales(const Catalogue& catalogue, const Part& part, uint64_t row,
                                      std::vector<float>& scales) const {
  const StoredTensor& stored = *part.tensor->scales;
  const auto blocks_of = [](uint64_t n, uint64_t block) { return (n + block - 1) / block; };
  const uint64_t n_rows = blocks_of(stack_.n_rows, stack_.block_rows);
  const uint64_t n_columns = blocks_of(stack_.n_columns, stack_.block_columns);
  const uint64_t value_bytes = BytesOfValue(stored.tensor.type);
  const uint64_t at = (part.matrix * n_rows + row / stack_.block_rows) * n_columns;
  std::vector<std::byte> bytes(n_columns * value_bytes);
  if (auto read =
          catalogue.files[stored.file_idx]->ReadAt(stored.tensor.offset + at * value_bytes, bytes);
      !read) {
    return read;
  }
  scales.clear();
  for (uint64_t i = 0; i < n_columns; ++i) {
    scales.push_back(StoredValue(stored.tensor.type, bytes.data() + i * value_bytes));
  }
  return {};
}

void MatrixConversion::PutValue(const std::byte* from, float scale, std::byte* to) const {
  if (!widens_) {
    std::memcpy(to, from, BytesOfValue(type()));
    return;
  }
  const float value = Changed(StoredValue(type(), from) * scale, view_.values);
  std::memcpy(to, &value, sizeof(value));
}

// Rows that are stored one behind another are read together.
Result<> MatrixConversion::ReadPart(const Catalogue& catalogue, const Part& part,
                                    std::byte* out) const {
  const uint64_t value_bytes = BytesOfValue(type());
  const uint64_t out_bytes = row_bytes() / view_.n_columns;
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  for (uint64_t i = 0; i < part.n;) {
    const uint64_t stored_row = StoredRowOf(part.first + i);
    uint64_t n = 1;
    while (i + n < part.n && StoredRowOf(part.first + i + n) == stored_row + n) {
      ++n;
    }
    if (auto read = ReadStored(catalogue, part, stored_row, 0, n * stack_.n_columns, bytes);
        !read) {
      return read;
    }
    if (!widens_ && view_.columns.empty()) {
      std::memcpy(out, bytes.data(), bytes.size());
      out += bytes.size();
      i += n;
      continue;
    }
    for (uint64_t row = 0; row < n; ++row) {
      if (part.tensor->scales) {
        if (auto read = ReadScales(catalogue, part, stored_row + row, scales); !read) {
          return read;
        }
      }
      const std::byte* const from = bytes.data() + row * stack_.n_columns * value_bytes;
      for (uint64_t column = 0; column < view_.n_columns; ++column) {
        const uint64_t stored = view_.columns.empty() ? column : view_.columns[column];
        const float scale = scales.empty() ? 1.0F : scales[stored / stack_.block_columns];
        PutValue(from + stored * value_bytes, scale, out);
        out += out_bytes;
      }
    }
    i += n;
  }
  return {};
}

// Of each stored row the piece that has all the columns.
Result<> MatrixConversion::ReadTransposed(const Catalogue& catalogue, const Part& part,
                                          std::byte* out) const {
  const uint64_t value_bytes = BytesOfValue(type());
  const uint64_t out_bytes = row_bytes() / view_.n_columns;
  const uint64_t first = StoredRowOf(part.first);  // rows of a view ascend where it is transposed
  const uint64_t n_values = StoredRowOf(part.first + part.n - 1) - first + 1;
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  for (uint64_t stored_row = 0; stored_row < view_.n_columns; ++stored_row) {
    if (auto read = ReadStored(catalogue, part, stored_row, first, n_values, bytes); !read) {
      return read;
    }
    if (part.tensor->scales) {
      if (auto read = ReadScales(catalogue, part, stored_row, scales); !read) {
        return read;
      }
    }
    for (uint64_t row = 0; row < part.n; ++row) {
      const uint64_t at = StoredRowOf(part.first + row) - first;
      const float scale = scales.empty() ? 1.0F : scales[(first + at) / stack_.block_columns];
      PutValue(bytes.data() + at * value_bytes, scale,
               out + row * row_bytes() + stored_row * out_bytes);
    }
  }
  return {};
}

Result<> FloatConversion::Read(const Catalogue& /*catalogue*/, uint64_t offset,
                               std::span<std::byte> out) const {
  std::memcpy(out.data(), std::as_bytes(std::span(values_)).data() + offset, out.size());
  return {};
}

}  // namespace plimsoll::formats::safetensors
