#pragma once

#include "model/architecture.h"

namespace plimsoll::model {

// Qwen 1.5 and 2 MoE: Qwen 2's attention, routed experts whose weights are not renormalised, and a
// shared expert scaled by a gate of its own.
class Qwen2Moe final : public Architecture {
 public:
  [[nodiscard]] std::string_view name() const override { return "qwen2moe"; }
  [[nodiscard]] Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const override;
  void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    LayerWeights& weights) const override;
  void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const override;
};

}  // namespace plimsoll::model
