// Which model it is, told by what it holds: what was computed with one model is of no use to
// another.
#pragma once

#include "base/result.h"
#include "formats/catalogue.h"
#include "io/checksum.h"

namespace plimsoll::engine {

// Of its metadata, the sizes of its files, each tensor's name, type, shape and place, and the first
// bytes of every tensor, since two trainings of one model differ in nothing else; and of whether
// keys turn by LongRoPE's long factors (Model::TurnsByLongFactors). Reads a page a tensor. Names
// and places of files do not matter. kIo.
[[nodiscard]] Result<io::Digest128> ModelIdentity(const formats::Catalogue& catalogue,
                                                  bool long_factors = false);

}  // namespace plimsoll::engine
