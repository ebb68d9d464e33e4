#pragma once

#include "model/architecture.h"

namespace plimsoll::model {

// Qwen 3: norms on each head of q and k, no biases.
class Qwen3 final : public Architecture {
 public:
  [[nodiscard]] std::string_view name() const override { return "qwen3"; }
  [[nodiscard]] Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const override;
  void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    LayerWeights& weights) const override;
  void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const override;
};

}  // namespace plimsoll::model
