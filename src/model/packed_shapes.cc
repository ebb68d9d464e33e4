#include "model/packed_shapes.h"

namespace plimsoll::model {
namespace {

using formats::packed::LayerShape;
using formats::packed::SourceLayer;

static_assert(kNProjections == formats::packed::kNProjections, "gate, up and down in both");

LayerShape ShapeOf(const ExpertLayer& layer) {
  LayerShape shape;
  shape.n_experts = layer.n_experts;
  if (layer.n_experts > 0) {
    for (size_t i = 0; i < kNProjections; ++i) {
      const tensor::Matrix& matrix = layer.projections[i].matrix;
      shape.projections[i] = {matrix.dtype, matrix.k, matrix.rows};
    }
  }
  return shape;
}

}  // namespace

std::vector<LayerShape> PackedShapes(std::span<const ExpertLayer> layers) {
  std::vector<LayerShape> shapes;
  for (const ExpertLayer& layer : layers) {
    shapes.push_back(ShapeOf(layer));
  }
  return shapes;
}

std::vector<SourceLayer> PackedSources(std::span<const ExpertLayer> layers) {
  std::vector<SourceLayer> sources;
  for (const ExpertLayer& layer : layers) {
    SourceLayer& source = sources.emplace_back();
    source.shape = ShapeOf(layer);
    for (uint32_t e = 0; e < layer.n_experts; ++e) {
      auto& ranges = source.experts.emplace_back();
      for (size_t i = 0; i < kNProjections; ++i) {
        ranges[i] = layer.projections[i].RangeOf(e);
      }
    }
  }
  return sources;
}

}  // namespace plimsoll::model
