#pragma once

#include "model/architecture.h"

namespace plimsoll::model {

// Qwen 1.5 and 2: biases on q, k and v.
class Qwen2 final : public Architecture {
 public:
  [[nodiscard]] std::string_view name() const override { return "qwen2"; }
  [[nodiscard]] Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const override;
  void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    LayerWeights& weights) const override;
  void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const override;
};

}  // namespace plimsoll::model
