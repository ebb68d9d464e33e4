// The model that is part of the executable: what runs when no other is named.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "formats/catalogue.h"
#include "io/file.h"

namespace plimsoll::engine {

// The bundled GGUF as a window of the running
// executable's own file, so that it is read like any model file: no byte of it is mapped in or
// resident before it is read. Page-aligned within the file. kIo when the executable's file cannot
// be opened (no /proc).
[[nodiscard]] Result<std::shared_ptr<const io::File>> OpenBundledModel();

// The model that `-m` names, or this one when it names none.
[[nodiscard]] Result<formats::Catalogue> OpenCatalogue(
    const std::optional<std::filesystem::path>& model);

// What to call it in messages and summaries.
[[nodiscard]] std::string BundledModelName();

}  // namespace plimsoll::engine
