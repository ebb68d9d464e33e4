#pragma once

#include "model/architecture.h"

namespace plimsoll::model {

// Qwen 3 MoE: Qwen 3's attention, routed experts with renormalised weights.
class Qwen3Moe final : public Architecture {
 public:
  [[nodiscard]] std::string_view name() const override { return "qwen3moe"; }
  [[nodiscard]] Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const override;
  void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    LayerWeights& weights) const override;
  void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const override;
};

}  // namespace plimsoll::model
