#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/checked.h"
#include "base/invariant.h"
#include "tensor/blocks.h"

namespace plimsoll::tensor {
namespace {

constexpr std::array<DTypeTraits, 26> kTraits = {{
    {DType::kF32, "F32", 1, 4},
    {DType::kF16, "F16", 1, 2},
    {DType::kQ4_0, "Q4_0", BlockQ4_0::kElements, sizeof(BlockQ4_0)},
    {DType::kQ4_1, "Q4_1", BlockQ4_1::kElements, sizeof(BlockQ4_1)},
    {DType::kQ5_0, "Q5_0", BlockQ5_0::kElements, sizeof(BlockQ5_0)},
    {DType::kQ5_1, "Q5_1", BlockQ5_1::kElements, sizeof(BlockQ5_1)},
    {DType::kQ8_0, "Q8_0", BlockQ8_0::kElements, sizeof(BlockQ8_0)},
    {DType::kQ2_K, "Q2_K", BlockQ2_K::kElements, sizeof(BlockQ2_K)},
    {DType::kQ3_K, "Q3_K", BlockQ3_K::kElements, sizeof(BlockQ3_K)},
    {DType::kQ4_K, "Q4_K", BlockQ4_K::kElements, sizeof(BlockQ4_K)},
    {DType::kQ5_K, "Q5_K", BlockQ5_K::kElements, sizeof(BlockQ5_K)},
    {DType::kQ6_K, "Q6_K", BlockQ6_K::kElements, sizeof(BlockQ6_K)},
    {DType::kIQ2_XXS, "IQ2_XXS", BlockIQ2_XXS::kElements, sizeof(BlockIQ2_XXS)},
    {DType::kIQ2_XS, "IQ2_XS", BlockIQ2_XS::kElements, sizeof(BlockIQ2_XS)},
    {DType::kIQ3_XXS, "IQ3_XXS", BlockIQ3_XXS::kElements, sizeof(BlockIQ3_XXS)},
    {DType::kIQ1_S, "IQ1_S", BlockIQ1_S::kElements, sizeof(BlockIQ1_S)},
    {DType::kIQ4_NL, "IQ4_NL", BlockIQ4_NL::kElements, sizeof(BlockIQ4_NL)},
    {DType::kIQ3_S, "IQ3_S", BlockIQ3_S::kElements, sizeof(BlockIQ3_S)},
    {DType::kIQ2_S, "IQ2_S", BlockIQ2_S::kElements, sizeof(BlockIQ2_S)},
    {DType::kIQ4_XS, "IQ4_XS", BlockIQ4_XS::kElements, sizeof(BlockIQ4_XS)},
    {DType::kIQ1_M, "IQ1_M", BlockIQ1_M::kElements, sizeof(BlockIQ1_M)},
    {DType::kBF16, "BF16", 1, 2},
    {DType::kTQ1_0, "TQ1_0", BlockTQ1_0::kElements, sizeof(BlockTQ1_0)},
    {DType::kTQ2_0, "TQ2_0", BlockTQ2_0::kElements, sizeof(BlockTQ2_0)},
    {DType::kMXFP4, "MXFP4", BlockMXFP4::kElements, sizeof(BlockMXFP4)},
    {DType::kNVFP4, "NVFP4", BlockNVFP4::kElements, sizeof(BlockNVFP4)},
}};

// Every number the format ever gave out, for error messages; empty ones were removed or never used.
constexpr std::array<std::string_view, 41> kGgmlNames = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4"};

}  // namespace

std::span<const DTypeTraits> AllDTypes() { return kTraits; }

const DTypeTraits& Traits(DType dtype) {
  const auto* it = std::ranges::find(kTraits, dtype, &DTypeTraits::dtype);
  Invariant(it != kTraits.end(), "a DType is one of the supported types");
  return *it;
}

std::optional<DType> DTypeFromNumber(uint32_t ggml_type) {
  const auto* it = std::ranges::find(kTraits, static_cast<DType>(ggml_type), &DTypeTraits::dtype);
  return it == kTraits.end() ? std::nullopt : std::optional(it->dtype);
}

std::optional<DType> DTypeFromName(std::string_view name) {
  const auto same = [&](const DTypeTraits& t) {
    return std::ranges::equal(t.name, name, [](char a, char b) {
      return a == std::toupper(static_cast<unsigned char>(b));
    });
  };
  const auto* it = std::ranges::find_if(kTraits, same);
  return it == kTraits.end() ? std::nullopt : std::optional(it->dtype);
}

std::string_view GgmlTypeName(uint32_t ggml_type) {
  return ggml_type < kGgmlNames.size() ? kGgmlNames[ggml_type] : std::string_view();
}

std::string_view PlainTypeOf(uint32_t ggml_type) {
  const std::string_view name = GgmlTypeName(ggml_type);
  for (const std::string_view plain : {"Q4_0", "IQ4_NL"}) {
    if (name.starts_with(plain) && name != plain) {
      return plain;
    }
  }
  return {};
}

std::optional<uint64_t> BytesFor(DType dtype, uint64_t n) {
  const DTypeTraits& traits = Traits(dtype);
  if (n % traits.block_elements != 0) {
    return std::nullopt;
  }
  return CheckedMul<uint64_t>(n / traits.block_elements, traits.block_bytes);
}

}  // namespace plimsoll::tensor
