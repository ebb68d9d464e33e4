// A family of models. Each is one file in arch/ that says what its hyper-parameters have beyond the
// conventions, which tensors it has and what a layer does; arch/registry.cc lists them.
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

struct Architecture {
  std::string_view name;  // the value of general.architecture
  // Sets what the family does otherwise than the common reading (ReadHyperParams) has it.
  Result<> (*adjust)(const formats::Metadata& metadata, HyperParams& hp);
  // Declares one layer's tensors, named "blk.<layer>.…".
  void (*declare_layer)(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                        LayerWeights& weights);
  // Takes a chunk of tokens through one layer.
  void (*run_layer)(LayerPieces& pieces, const LayerWeights& weights);
};

[[nodiscard]] std::span<const Architecture* const> AllArchitectures();
// kBadModel with the supported ones when there is none of that name.
[[nodiscard]] Result<const Architecture*> FindArchitecture(std::string_view name);

// The hyper-parameters of a catalogue whose architecture this is.
[[nodiscard]] Result<HyperParams> ReadHyperParams(const Architecture& architecture,
                                                  const formats::Catalogue& catalogue);

}  // namespace plimsoll::model
