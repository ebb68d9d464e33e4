// What programs share that write a model anew as one GGUF: quantizing, pruning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"
#include "formats/catalogue.h"

namespace plimsoll::engine {

// kUsage for an output that is one of the model's own files.
[[nodiscard]] Result<> CheckOutputIsNoPart(const formats::Catalogue& catalogue,
                                           const std::filesystem::path& output);

// kUsage for an output that is one of the model's own files, that is there already unless it is to
// be replaced, and for a model that a GGUF of its family cannot say.
[[nodiscard]] Result<> CheckRewrite(const formats::Catalogue& catalogue,
                                    const std::filesystem::path& model,
                                    const std::filesystem::path& output, bool replaces);

// Without what a part of a split says of itself: what is written is no part.
[[nodiscard]] formats::Metadata MetadataOfWhole(const formats::Catalogue& catalogue);

// Bytes of the tensor from `offset` on, which may lie in several ranges and are no more than it
// has.
[[nodiscard]] Result<> ReadTensor(const formats::Catalogue& catalogue,
                                  const formats::TensorEntry& tensor, uint64_t offset,
                                  std::span<std::byte> out);

}  // namespace plimsoll::engine
