// What programs share that write a model anew as one GGUF: quantizing, pruning.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "formats/catalogue.h"

namespace plimsoll::engine {

// kUsage for an output that is one of the model's own files.
[[nodiscard]] Result<> CheckOutputIsNoPart(const formats::Catalogue& catalogue,
                                           const std::filesystem::path& output);

// kUsage for an output that is one of the model's own files, or that is there already unless it is
// to be replaced. Of a folder of safetensors kBadModel for a tensor that is missing or of another
// shape than the model has it: what a GGUF is made of must be whole.
[[nodiscard]] Result<> CheckRewrite(const formats::Catalogue& catalogue,
                                    const std::filesystem::path& output, bool replaces);

// Without what a part of a split says of itself: what is written is no part. With the tokenizer,
// where that is in files of its own; kBadModel where a GGUF cannot have it.
[[nodiscard]] Result<formats::Metadata> MetadataOfWhole(const formats::Catalogue& catalogue);

}  // namespace plimsoll::engine
