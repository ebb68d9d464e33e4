// A family of models. Each is one file in arch/ that says how its hyper-parameters are read, which
// tensors it has and what a layer does; arch/registry.cc lists them.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "formats/catalogue.h"
#include "model/declarations.h"
#include "model/hyper_params.h"
#include "model/layer_pieces.h"
#include "model/weights.h"

namespace plimsoll::model {

class Architecture {
 public:
  virtual ~Architecture() = default;

  // The value of general.architecture.
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Starts from what is common and adds what the family does otherwise.
  [[nodiscard]] virtual Result<HyperParams> ReadHyperParams(
      const formats::Catalogue& catalogue) const = 0;
  // Declares one layer's tensors, named "blk.<layer>.…".
  virtual void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                            LayerWeights& weights) const = 0;
  // Takes a chunk of tokens through one layer.
  virtual void RunLayer(LayerPieces& pieces, const LayerWeights& weights) const = 0;
};

[[nodiscard]] std::span<const Architecture* const> AllArchitectures();
// kBadModel with the supported ones when there is none of that name.
[[nodiscard]] Result<const Architecture*> FindArchitecture(std::string_view name);

}  // namespace plimsoll::model
