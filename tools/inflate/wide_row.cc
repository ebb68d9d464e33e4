#include "tools/inflate/wide_row.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"
#include "kernels/quantize.h"
#include "tensor/blocks.h"
#include "tensor/matrix.h"

namespace plimsoll::inflate {
namespace {

using tensor::DType;

template <class Block>
void ZeroScales(std::span<std::byte> row) {
  for (size_t at = 0; at < row.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, row.data() + at, sizeof(Block));
    block.d = 0;
    if constexpr (requires { block.dmin; }) {
      block.dmin = 0;
    }
    std::memcpy(row.data() + at, &block, sizeof(Block));
  }
}

}  // namespace

RowWidener::RowWidener(const Axis& columns, DType dtype)
    : columns_(columns),
      dtype_(dtype),
      row_bytes_(*tensor::BytesFor(dtype, columns.size())),
      owed_(columns.n_source),
      n_copies_(columns.n_source),
      values_(tensor::Traits(dtype).block_elements),
      rounded_(values_.size()),
      block_(tensor::Traits(dtype).block_bytes + tensor::kReadablePadding) {}

Result<> RowWidener::Widen(std::span<const float> small, std::span<std::byte> out) {
  std::ranges::fill(owed_, 0.0F);
  const uint64_t block_bytes = tensor::Traits(dtype_).block_bytes;
  for (size_t column = 0; column < columns_.size(); column += values_.size()) {
    if (auto done = WidenBlock(column, small, out.first(block_bytes)); !done) {
      return Fail(done.error().kind, "from column {} on: {}", column, done.error().message);
    }
    out = out.subspan(block_bytes);
  }
  return {};
}

Result<> RowWidener::WidenBlock(size_t first_column, std::span<const float> small,
                                std::span<std::byte> out) {
  const auto sources = std::span(columns_.source).subspan(first_column, values_.size());
  for (const uint32_t source : sources) {
    ++n_copies_[source];
  }
  for (size_t i = 0; i < values_.size(); ++i) {
    const uint32_t source = sources[i];
    const float share = columns_.factor.empty() ? 1 : columns_.factor[first_column + i];
    values_[i] = small[source] * share + owed_[source] / static_cast<float>(n_copies_[source]);
  }
  const kernels::KernelSet& kernels = *kernels::AllKernelSets()[0];
  if (auto done = kernels::Quantize(dtype_, values_, {}, out, kernels); !done) {
    return done;
  }
  std::ranges::copy(out, block_.begin());
  const tensor::Matrix block = {dtype_, tensor::Layout::kNative, values_.size(), 1, block_.data()};
  kernels.dequantize_row(block, 0, rounded_.data());
  for (const uint32_t source : sources) {
    owed_[source] = 0;
    n_copies_[source] = 0;
  }
  for (size_t i = 0; i < values_.size(); ++i) {
    owed_[sources[i]] += values_[i] - rounded_[i];
  }
  return {};
}

void Silence(DType dtype, std::span<std::byte> row) {
  switch (dtype) {
    case DType::kQ8_0:
      return ZeroScales<tensor::BlockQ8_0>(row);
    case DType::kQ4_0:
      return ZeroScales<tensor::BlockQ4_0>(row);
    case DType::kQ4_K:
      return ZeroScales<tensor::BlockQ4_K>(row);
    default:
      std::ranges::fill(row, std::byte{0});
  }
}

}  // namespace plimsoll::inflate
