#include "model/expert_layout.h"

#include "base/invariant.h"
#include "model/packed_shapes.h"

namespace plimsoll::model {
namespace {

const BoundTensor* TensorOf(std::span<const BoundTensor> bound, const tensor::MatrixStack& stack) {
  for (const BoundTensor& tensor : bound) {
    const auto* target = std::get_if<tensor::MatrixStack*>(&tensor.declaration->target);
    if (target != nullptr && *target == &stack &&
        tensor.declaration->account == memory::Account::kExperts) {
      return &tensor;
    }
  }
  return nullptr;
}

// A pass over the ranges, each of which must hold whole matrices.
bool InWholeMatrices(const formats::TensorEntry& entry, uint64_t matrix_bytes) {
  for (const formats::FileRange& range : entry.ranges) {
    if (range.bytes % matrix_bytes != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

formats::FileRange ExpertProjection::RangeOf(uint32_t expert) const {
  if (packed.bytes != 0) {
    return {packed.file_idx, packed.offset + expert * packed_stride, packed.bytes};
  }
  const uint64_t bytes = matrix.bytes();
  uint64_t at = expert * bytes;
  for (const formats::FileRange& range : entry->ranges) {
    if (at < range.bytes) {
      return {range.file_idx, range.offset + at, bytes};
    }
    at -= range.bytes;
  }
  Invariant(false, "a layer is asked for experts that it has");
  return {};
}

Result<std::vector<ExpertLayer>> FindExperts(std::span<const BoundTensor> bound,
                                             const ModelWeights& weights) {
  std::vector<ExpertLayer> layers;
  for (const LayerWeights& layer : weights.layers) {
    const FeedForwardWeights& ff = layer.feed_forward;
    const std::array stacks = {&ff.gate, &ff.up, &ff.down};
    ExpertLayer& experts = layers.emplace_back();
    for (size_t i = 0; i < kNProjections; ++i) {
      const BoundTensor* tensor = TensorOf(bound, *stacks[i]);
      if (tensor == nullptr) {
        continue;
      }
      const formats::TensorEntry& entry = *tensor->entry;
      ExpertProjection& projection = experts.projections[i];
      projection.entry = &entry;
      projection.matrix = {.dtype = entry.dtype,
                           .layout = tensor::Layout::kNative,
                           .k = entry.shape.dims[0],
                           .rows = entry.shape.dims[1],
                           .data = nullptr,
                           .scale = stacks[i]->first.scale};
      if (entry.conversion != nullptr) {
        return Fail(ErrorKind::kBadModel,
                    "tensor {}: these experts cannot be read as they are stored; plimsoll quantize "
                    "makes a GGUF of the folder",
                    entry.name);
      }
      if (!InWholeMatrices(entry, projection.matrix.bytes())) {
        return Fail(ErrorKind::kBadModel, "tensor {}: an expert's matrix lies in several pieces",
                    entry.name);
      }
      experts.n_experts = static_cast<uint32_t>(entry.shape.dims[2]);
    }
  }
  return layers;
}

Result<> ReadFromPacked(const formats::packed::PackedFile& packed, uint32_t file_idx,
                        std::span<ExpertLayer> layers) {
  if (auto same = packed.HasLayers(PackedShapes(layers)); !same) {
    return same;
  }
  for (uint32_t i = 0; i < layers.size(); ++i) {
    const formats::packed::Layer& place = packed.layer(i);
    for (size_t p = 0; layers[i].n_experts != 0 && p < kNProjections; ++p) {
      ExpertProjection& projection = layers[i].projections[p];
      projection.matrix.layout = tensor::Layout::kRows16;
      projection.packed = {file_idx, place.begin + place.parts[p].offset,
                           place.parts[p].covered_bytes};
      projection.packed_stride = place.stride;
    }
  }
  return {};
}

}  // namespace plimsoll::model
