#pragma once

#include "model/architecture.h"

namespace plimsoll::model {

// OLMoE: norms over all heads of q and k at once, routed experts whose weights are not
// renormalised.
class Olmoe final : public Architecture {
 public:
  [[nodiscard]] std::string_view name() const override { return "olmoe"; }
  [[nodiscard]] Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const override;
  void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    LayerWeights& weights) const override;
  void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const override;
};

}  // namespace plimsoll::model
