// What a packed file was made from, told apart by content: names, places and times do not matter.
#pragma once

#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/packed/header.h"

namespace plimsoll::formats::packed {

// Reads what lies before the first tensor of each file of the model (its metadata and tensor
// table), and none of the tensors. `stamp` stays 0. kIo.
[[nodiscard]] Result<std::vector<SourceFile>> IdentifySources(const Catalogue& catalogue);

// kBadModel when a model is not what `packed` was made from, saying which of its files differs and
// in what. Whole contents are not compared: `plimsoll verify` does that.
[[nodiscard]] Result<> CompareSources(std::span<const SourceFile> packed,
                                      std::span<const SourceFile> model,
                                      const Catalogue& catalogue);

}  // namespace plimsoll::formats::packed
