// The header of one safetensors file: a length (64 bits), as many bytes of JSON, then the data.
// Format after https://github.com/huggingface/safetensors#format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/file.h"
#include "tensor/dtype.h"

namespace plimsoll::formats::safetensors {

inline constexpr uint64_t kMaxHeaderBytes = 32 * kMiB;
inline constexpr uint64_t kMaxTensors = 262'144;

// The types of values that are read. Others are kOther, and known by name and width alone: of
// tensors that nobody asks for.
enum class StoredType : uint8_t { kF32, kF16, kBF16, kF8E4M3, kU8, kOther };

// The type that GGUF has for it, if it has one.
[[nodiscard]] std::optional<tensor::DType> DTypeOf(StoredType type);

// A tensor as the file names it, with dimensions slowest first. Its bytes are those of the file.
struct RawTensor {
  std::string name;
  StoredType type = StoredType::kF32;
  std::string type_name;       // as the file has it
  std::vector<uint64_t> dims;  // 1 to 8, none of them 0
  uint64_t offset = 0;         // from the start of the file
  uint64_t bytes = 0;
};

// Every tensor of the file but the rotary tables that old exports hold, in the order of their
// bytes. kBadModel, naming the tensor, unless types are of the format, names differ, and the
// ranges fit their shapes and fill the data section from front to back without gaps or overlaps.
[[nodiscard]] Result<std::vector<RawTensor>> ReadHeader(const io::File& file);

}  // namespace plimsoll::formats::safetensors
