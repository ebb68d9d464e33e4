#include "engine/quantize_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fnmatch.h>

#include "formats/escape.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using tensor::DType;

// Where rows are no whole number of a type's blocks: the nearest type of smaller blocks, from
// llama.cpp's llama-quant.cpp.
struct Fallback {
  DType dtype;
  DType instead;
};
constexpr std::array<Fallback, 15> kFallbacks = {{{DType::kQ2_K, DType::kQ4_0},
                                                  {DType::kQ3_K, DType::kQ4_0},
                                                  {DType::kTQ1_0, DType::kQ4_0},
                                                  {DType::kTQ2_0, DType::kQ4_0},
                                                  {DType::kQ4_K, DType::kQ5_0},
                                                  {DType::kQ5_K, DType::kQ5_1},
                                                  {DType::kQ6_K, DType::kQ8_0},
                                                  {DType::kIQ1_S, DType::kIQ4_NL},
                                                  {DType::kIQ1_M, DType::kIQ4_NL},
                                                  {DType::kIQ2_XXS, DType::kIQ4_NL},
                                                  {DType::kIQ2_XS, DType::kIQ4_NL},
                                                  {DType::kIQ2_S, DType::kIQ4_NL},
                                                  {DType::kIQ3_XXS, DType::kIQ4_NL},
                                                  {DType::kIQ3_S, DType::kIQ4_NL},
                                                  {DType::kIQ4_XS, DType::kIQ4_NL}}};

bool IsFloat(DType dtype) { return tensor::Traits(dtype).block_elements == 1; }

bool HoldsRows(DType dtype, const TensorEntry& tensor) {
  return tensor.shape.dims[0] % tensor::Traits(dtype).block_elements == 0;
}

// A matrix, or a stack of one for each expert, that tokens are multiplied with.
bool IsWeightMatrix(const TensorEntry& tensor) {
  const std::string_view name = tensor.name;
  const auto has = [name](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  return tensor.shape.dims[1] > 1 && name.ends_with(".weight") && !name.ends_with("_norm.weight") &&
         !has("ffn_gate_inp") && !name.ends_with(".ssm_conv1d.weight");
}

DType ThatHoldsRows(DType dtype, const TensorEntry& tensor) {
  const auto* fallback = std::ranges::find(kFallbacks, dtype, &Fallback::dtype);
  if (!HoldsRows(dtype, tensor) && fallback != kFallbacks.end()) {
    dtype = fallback->instead;
  }
  return HoldsRows(dtype, tensor) ? dtype : DType::kF16;
}

Result<DType> TypeOf(const TensorEntry& tensor, const MixedModel& model,
                     const QuantizePlanOptions& options, std::vector<bool>& is_used) {
  std::optional<DType> dtype;
  for (size_t i = 0; i < options.overrides.size(); ++i) {
    const TypeOverride& override = options.overrides[i];
    if (::fnmatch(override.pattern.c_str(), tensor.name.c_str(), 0) == 0) {
      is_used[i] = true;
      dtype = dtype.value_or(override.dtype);
    }
  }
  if (dtype && !HoldsRows(*dtype, tensor)) {
    return Fail(ErrorKind::kUsage, "the rows of '{}' have {} values, no whole number of {}'s {}",
                formats::Escape(tensor.name), tensor.shape.dims[0], tensor::Traits(*dtype).name,
                tensor::Traits(*dtype).block_elements);
  }
  if (!dtype) {
    dtype = IsWeightMatrix(tensor) ? ThatHoldsRows(model.TypeOf(options.mix, tensor), tensor)
                                   : tensor.dtype;
  }
  if (*dtype != tensor.dtype && !IsFloat(tensor.dtype) && !options.requantizes) {
    return Fail(ErrorKind::kUsage,
                "'{}' is {} already, and would lose a second time. Quantize the model that it was "
                "made of, or say --requantize",
                formats::Escape(tensor.name), tensor::Traits(tensor.dtype).name);
  }
  return *dtype;
}

// Of so few bits that only what counts can be kept.
bool WantsImportance(DType dtype) {
  constexpr std::array<DType, 6> kTypes = {DType::kIQ1_S,  DType::kIQ1_M, DType::kIQ2_XXS,
                                           DType::kIQ2_XS, DType::kIQ2_S, DType::kIQ3_XXS};
  return std::ranges::find(kTypes, dtype) != kTypes.end();
}

Result<> CheckImportance(const TensorEntry& tensor, DType dtype,
                         const QuantizePlanOptions& options) {
  if (options.has_importance || options.without_importance || dtype == tensor.dtype ||
      !WantsImportance(dtype)) {
    return {};
  }
  return Fail(ErrorKind::kUsage,
              "'{}' would be {}, which keeps too little without an importance matrix. "
              "plimsoll eval imatrix -m MODEL -f TEXT -o imatrix.gguf makes one for --imatrix; "
              "--no-imatrix goes on without",
              formats::Escape(tensor.name), tensor::Traits(dtype).name);
}

}  // namespace

QuantizeMix PureMix(DType dtype) {
  const std::string_view name = tensor::Traits(dtype).name;
  const QuantizeMix* const mix = FindMix(name);
  return {
      .name = name, .dtype = dtype, .file_type = mix == nullptr ? 0 : mix->file_type, .rules = {}};
}

Result<std::vector<DType>> PlanQuantizedTypes(const formats::Catalogue& catalogue,
                                              const QuantizePlanOptions& options) {
  const MixedModel model(catalogue, options.has_importance);
  std::vector<bool> is_used(options.overrides.size());
  std::vector<DType> types;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    auto dtype = TypeOf(tensor, model, options, is_used);
    if (!dtype) {
      return Forward(dtype);
    }
    if (auto checked = CheckImportance(tensor, *dtype, options); !checked) {
      return Forward(checked);
    }
    types.push_back(*dtype);
  }
  if (const auto unused = std::ranges::find(is_used, false); unused != is_used.end()) {
    return Fail(
        ErrorKind::kUsage, "the model has no tensor like '{}'; inspect --tensors lists them",
        formats::Escape(options.overrides[static_cast<size_t>(unused - is_used.begin())].pattern));
  }
  return types;
}

}  // namespace plimsoll::engine
