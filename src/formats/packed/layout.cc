#include "formats/packed/layout.h"

#include "base/checked.h"
#include "tensor/matrix.h"

namespace plimsoll::formats::packed {
namespace {

// Above what any file has, far below where sums of a few of them wrap.
constexpr uint64_t kMaxBytes = uint64_t{1} << 60U;

// Bytes of the matrix; nothing when no matrix can have this shape.
std::optional<uint64_t> MatrixBytes(const MatrixShape& shape) {
  const auto elements = CheckedMul(shape.k, shape.rows);
  if (!elements || *elements == 0 || shape.k % tensor::Traits(shape.dtype).block_elements != 0) {
    return std::nullopt;
  }
  const auto bytes = tensor::BytesFor(shape.dtype, *elements);
  return bytes && *bytes <= kMaxBytes ? bytes : std::nullopt;
}

Result<Layer> LayOut(const LayerShape& shape, size_t layer_idx) {
  Layer layer{.n_experts = shape.n_experts};
  if (shape.n_experts == 0) {
    return layer;
  }
  uint64_t end = 0;
  for (size_t i = 0; i < kNProjections; ++i) {
    const MatrixShape& matrix = shape.projections[i];
    const auto bytes = MatrixBytes(matrix);
    if (!bytes) {
      return Fail(ErrorKind::kBadModel, "layer {}: {}: no {} matrix has {} rows of length {}",
                  layer_idx, ProjectionName(i), tensor::Traits(matrix.dtype).name, matrix.rows,
                  matrix.k);
    }
    const uint64_t offset = AlignUp(end, kPartAlignment);
    end = offset + *bytes;
    layer.parts[i] = {.shape = matrix, .offset = offset, .bytes = *bytes};
  }
  layer.record_bytes = AlignUp(end + tensor::kReadablePadding, kPartAlignment);
  layer.stride = AlignUp(layer.record_bytes, kRecordAlignment);
  for (size_t i = 0; i < kNProjections; ++i) {
    const uint64_t next = i + 1 < kNProjections ? layer.parts[i + 1].offset : layer.record_bytes;
    layer.parts[i].covered_bytes = next - layer.parts[i].offset;
  }
  return layer;
}

}  // namespace

std::string_view ProjectionName(size_t projection) {
  constexpr std::array<std::string_view, kNProjections> kNames = {"gate", "up", "down"};
  return kNames[projection];
}

Result<FileLayout> MakeLayout(std::span<const LayerShape> layers, uint64_t header_bytes) {
  FileLayout layout;
  layout.layers.reserve(layers.size());
  layout.begin = AlignUp(header_bytes, kRecordAlignment);
  uint64_t end = layout.begin;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].n_experts > kMaxExperts) {
      return Fail(ErrorKind::kBadModel,
                  "layer {}: {} experts are more than the {} that it may have", i,
                  layers[i].n_experts, kMaxExperts);
    }
    auto layer = LayOut(layers[i], i);
    if (!layer) {
      return Forward(layer);
    }
    layer->begin = end;
    layer->first_record = layout.n_records;
    const auto bytes = CheckedMul<uint64_t>(layer->n_experts, layer->stride);
    const auto sum = bytes ? CheckedAdd(end, *bytes) : std::nullopt;
    if (!sum || *sum > kMaxBytes) {
      return Fail(ErrorKind::kBadModel, "layer {}: its {} experts of {} bytes are more than a file",
                  i, layer->n_experts, layer->stride);
    }
    end = *sum;
    layout.n_records += layer->n_experts;
    layout.layers.push_back(*layer);
  }
  layout.file_bytes = end;
  return layout;
}

}  // namespace plimsoll::formats::packed
