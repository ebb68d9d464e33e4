#pragma once

#include "model/architecture.h"

namespace plimsoll::model {

// Llama 1 to 3, Mistral, and Mixtral through its expert tensors. GGUF files have q and k permuted
// for neighbouring rotary pairs; safetensors have not, and say so in plimsoll.rope.neox.
class Llama final : public Architecture {
 public:
  [[nodiscard]] std::string_view name() const override { return "llama"; }
  [[nodiscard]] Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const override;
  void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                    LayerWeights& weights) const override;
  void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const override;
};

}  // namespace plimsoll::model
