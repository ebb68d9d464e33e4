// From a name that a user gives to the file or folder it means.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "formats/store/found_model.h"
#include "formats/store/places.h"

namespace plimsoll::formats::store {

// All that is found, place by place, in order of names within each. Reads folders and the stores'
// small files, no model's; well under 200 ms for 500 models.
[[nodiscard]] Findings ListModels(const Places& places);

// What formats::OpenModel opens, for, in this order:
//   an alias of places.aliases;
//   hf:ORG/NAME[:QUANT], ollama:NAME[:TAG], lmstudio:PUBLISHER/MODEL[/FILE], of that store alone;
//   a path: of a file (any part of a split means the first), or of a folder with one model;
//   a bare name, of what all places have, in any case of letters, where it means one model.
// Nothing is ever looked up by putting a name into a path. kIo for what is not there, with what is
// like it and where was looked, and for what is not whole; kUsage for a name that means several.
[[nodiscard]] Result<std::filesystem::path> FindModel(std::string_view name, const Places& places);

}  // namespace plimsoll::formats::store
