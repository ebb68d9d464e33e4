#include "tools/inflate/wide_matrix.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "tensor/matrix.h"

namespace plimsoll::inflate {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

// Fills `out` from the tensor's byte `offset` on.
Result<> ReadTensor(const formats::Catalogue& catalogue, const formats::TensorEntry& entry,
                    uint64_t offset, std::span<std::byte> out) {
  for (const formats::FileRange& range : entry.ranges) {
    if (offset >= range.bytes) {
      offset -= range.bytes;
      continue;
    }
    const uint64_t n = std::min<uint64_t>(range.bytes - offset, out.size());
    auto read = catalogue.files[range.file_idx]->ReadAt(range.offset + offset, out.first(n));
    if (!read) {
      return read;
    }
    out = out.subspan(n);
    offset = 0;
  }
  return {};
}

}  // namespace

WideMatrix::WideMatrix(const formats::Catalogue& catalogue, const WideTensor& wide)
    : catalogue_(catalogue),
      wide_(wide),
      widener_(*wide.columns, wide.dtype),
      small_(wide.source->bytes / wide.n_matrices + tensor::kReadablePadding),
      small_row_(wide.columns->n_source),
      widened_(wide.rows->n_source * widener_.row_bytes()) {}

Result<> WideMatrix::Read(uint64_t idx) {
  const uint64_t bytes = small_.size() - tensor::kReadablePadding;
  return ReadTensor(catalogue_, *wide_.source, idx * bytes, std::span(small_).first(bytes));
}

Result<> WideMatrix::WidenRow(uint64_t row) {
  const tensor::Matrix small = {wide_.source->dtype, tensor::Layout::kNative, small_row_.size(),
                                wide_.rows->n_source, small_.data()};
  kernels::AllKernelSets()[0]->dequantize_row(small, row, small_row_.data());
  const uint64_t row_bytes = widener_.row_bytes();
  const auto out = std::span(widened_).subspan(row * row_bytes, row_bytes);
  if (auto widened = widener_.Widen(small_row_, out); !widened) {
    return Fail(widened.error().kind, "the tensor '{}', row {}, {}", wide_.name, row,
                widened.error().message);
  }
  if (wide_.is_silent) {
    Silence(wide_.dtype, out);
  }
  return {};
}

Result<> WideMatrix::Write(uint64_t idx, const AppendFn& append) {
  auto done = Read(idx);
  for (uint64_t row = 0; done && row < wide_.rows->n_source; ++row) {
    done = WidenRow(row);
  }
  const uint64_t row_bytes = widener_.row_bytes();
  piece_.clear();
  for (size_t i = 0; done && i < wide_.rows->size(); ++i) {
    const auto row = std::span(widened_).subspan(wide_.rows->source[i] * row_bytes, row_bytes);
    piece_.insert(piece_.end(), row.begin(), row.end());
    if (piece_.size() >= kPieceBytes || i + 1 == wide_.rows->size()) {
      done = append(piece_);
      piece_.clear();
    }
  }
  return done;
}

}  // namespace plimsoll::inflate
