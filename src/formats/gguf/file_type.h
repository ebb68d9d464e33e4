// GGUF's general.file_type, which says of what type most tensors are: llama.cpp's llama_ftype
// (https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h).
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/dtype.h"

namespace plimsoll::formats::gguf {

// Nothing for a type that no number means.
[[nodiscard]] std::optional<uint32_t> FileTypeOf(tensor::DType dtype);

}  // namespace plimsoll::formats::gguf
