// GGUF files, versions 2 and 3, little-endian, whole or split, into a catalogue.
//
// The files are hostile: whatever they hold, the answer is a catalogue whose every range lies
// inside its file, or a kBadModel that names the field and its byte. See limits.h for what is
// accepted. No tensor data is read.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "io/file.h"

namespace plimsoll::formats::gguf {

// True when the file starts with GGUF's magic.
[[nodiscard]] Result<bool> HasMagic(const io::File& file);

// `parts` are all files of the model in order, one for a model that is not split. The metadata is
// the first part's; TensorEntry::ranges[0].file_idx is the index in `parts`.
[[nodiscard]] Result<Catalogue> Read(std::vector<std::shared_ptr<const io::File>> parts);

// A model in one file, which may be a window of another (io::File::OpenWindow).
[[nodiscard]] Result<Catalogue> Read(std::shared_ptr<const io::File> file);

// The model that `path` is a file of: the parts of a split are found by its name.
[[nodiscard]] Result<Catalogue> Open(const std::filesystem::path& path);

}  // namespace plimsoll::formats::gguf
