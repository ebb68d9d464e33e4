#pragma once

#include "formats/metadata.h"
#include "tools/random_model/model_spec.h"

namespace plimsoll::random_model {

// The key-value part of the file: hyper-parameters under GGUF's keys as llama.cpp's converter
// writes them for the architecture, and the tokenizer. `spec` has passed Check().
[[nodiscard]] formats::Metadata MakeMetadata(const ModelSpec& spec);

}  // namespace plimsoll::random_model
