// The experts of a model in the words of packed files.
#pragma once

#include <span>
#include <vector>

#include "formats/packed/packer.h"
#include "model/expert_layout.h"

namespace plimsoll::model {

// For PackedFile::HasLayers.
[[nodiscard]] std::vector<formats::packed::LayerShape> PackedShapes(
    std::span<const ExpertLayer> layers);
// For Pack.
[[nodiscard]] std::vector<formats::packed::SourceLayer> PackedSources(
    std::span<const ExpertLayer> layers);

}  // namespace plimsoll::model
