// The header of one safetensors file: a length (64 bits), as many bytes of JSON, then the data.
// Format after https://github.com/huggingface/safetensors#format.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/file.h"
#include "tensor/dtype.h"

namespace plimsoll::formats::safetensors {

inline constexpr uint64_t kMaxHeaderBytes = 32 * kMiB;
inline constexpr uint64_t kMaxTensors = 262'144;

// A tensor as the file names it, with dimensions slowest first. Its bytes are those of the file.
struct RawTensor {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;
  std::vector<uint64_t> dims;  // 1 to 4, none of them 0
  uint64_t offset = 0;         // from the start of the file
  uint64_t bytes = 0;
};

// Every tensor of the file but the rotary tables that old exports hold, in the order of their
// bytes. kBadModel, naming the tensor, unless types are F32, F16 or BF16, names differ, and the
// ranges fit their shapes and fill the data section from front to back without gaps or overlaps.
[[nodiscard]] Result<std::vector<RawTensor>> ReadHeader(const io::File& file);

}  // namespace plimsoll::formats::safetensors
