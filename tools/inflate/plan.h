// Which tensors the wide model has, and from what each is made.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "tools/inflate/axis.h"
#include "tools/inflate/dimensions.h"

namespace plimsoll::inflate {

// A stack of `n_matrices` matrices (one, but for experts); matrix i is made of the source's matrix
// i by the axes.
struct WideTensor {
  std::string name;
  const formats::TensorEntry* source = nullptr;
  tensor::DType dtype = tensor::DType::kF32;
  tensor::Shape shape;
  uint64_t n_matrices = 1;
  const Axis* rows = nullptr;
  const Axis* columns = nullptr;
  bool is_silent = false;  // an added layer's: it adds nothing to the stream
};

// The layer of the small model that a layer of the wide one is made of. Each trained layer is
// followed by the layers that are added as copies of it.
struct LayerSource {
  uint32_t layer_idx = 0;
  bool is_added = false;
};
[[nodiscard]] LayerSource SourceOfLayer(uint32_t layer_idx, uint32_t n_source, uint32_t n_layers);

// In the order of the file. Matrices get `dtype`, except routers, which stay F32 like the norms.
// The result points into `catalogue` and `axes`.
// kBadModel names a tensor that is missing, that has another shape than the axes, or that is not
// part of a widened model; kUsage when rows of the wide model are no whole blocks of `dtype`.
[[nodiscard]] Result<std::vector<WideTensor>> PlanTensors(const formats::Catalogue& catalogue,
                                                          const Axes& axes,
                                                          uint32_t n_source_layers,
                                                          uint32_t n_layers, tensor::DType dtype);

[[nodiscard]] uint64_t TotalBytes(std::span<const WideTensor> tensors);

}  // namespace plimsoll::inflate
