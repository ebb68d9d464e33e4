// The element types that a weight can have. Names and numbers are GGUF's (ggml_type in the GGUF
// specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace plimsoll::tensor {

enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
};

struct DTypeTraits {
  DType dtype;
  std::string_view name;    // "Q4_K"
  uint32_t block_elements;  // weights per block: 1, 32, 64 or 256
  uint32_t block_bytes;
};

// All supported types, by ascending number.
[[nodiscard]] std::span<const DTypeTraits> AllDTypes();

[[nodiscard]] const DTypeTraits& Traits(DType dtype);
[[nodiscard]] std::optional<DType> DTypeFromNumber(uint32_t ggml_type);
// Case-insensitive: "q4_k" or "Q4_K".
[[nodiscard]] std::optional<DType> DTypeFromName(std::string_view name);
// The name of any type GGUF ever defined, also of those that are not supported; empty if unknown.
[[nodiscard]] std::string_view GgmlTypeName(uint32_t ggml_type);

// Of the types that GGUF once had for the rows of another, interleaved (Q4_0_4_4): that other one's
// name (Q4_0). Empty for all else.
[[nodiscard]] std::string_view PlainTypeOf(uint32_t ggml_type);

// Bytes of `n` consecutive elements; nullopt if n is no multiple of the block or the size
// overflows.
[[nodiscard]] std::optional<uint64_t> BytesFor(DType dtype, uint64_t n);

}  // namespace plimsoll::tensor
