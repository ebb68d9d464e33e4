#include "engine/quantize_plan.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include "formats/escape.h"
#include "kernels/quantize.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using tensor::DType;

constexpr std::string_view kOutput = "output.weight";
constexpr std::string_view kEmbedding = "token_embd.weight";

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
         !has("ffn_gate_inp");
}

bool MakesLogits(const TensorEntry& tensor, const formats::Catalogue& catalogue) {
  return tensor.name == kOutput ||
         (tensor.name == kEmbedding && catalogue.Find(kOutput) == nullptr);
}

double BitsAnElement(DType dtype) {
  const tensor::DTypeTraits& traits = tensor::Traits(dtype);
  return 8.0 * traits.block_bytes / traits.block_elements;
}

DType UsualType(const TensorEntry& tensor, const formats::Catalogue& catalogue, DType wanted) {
  DType dtype = wanted;
  if (MakesLogits(tensor, catalogue) && BitsAnElement(dtype) < BitsAnElement(DType::kQ6_K)) {
    dtype = DType::kQ6_K;
  }
  if (!HoldsRows(dtype, tensor)) {
    dtype = DType::kQ8_0;
  }
  return HoldsRows(dtype, tensor) ? dtype : DType::kF16;
}

Result<> CheckTypes(const QuantizePlanOptions& options) {
  std::vector<DType> wanted = {options.dtype};
  for (const TypeOverride& override : options.overrides) {
    wanted.push_back(override.dtype);
  }
  for (const DType dtype : wanted) {
    if (!kernels::CanQuantize(dtype)) {
      return Fail(ErrorKind::kUsage, "{} cannot be made; these can: {}", tensor::Traits(dtype).name,
                  NamesOfQuantizableTypes());
    }
  }
  return {};
}

Result<DType> TypeOf(const TensorEntry& tensor, const formats::Catalogue& catalogue,
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
    dtype = IsWeightMatrix(tensor) ? UsualType(tensor, catalogue, options.dtype) : tensor.dtype;
  }
  if (*dtype != tensor.dtype && !IsFloat(tensor.dtype) && !options.requantizes) {
    return Fail(ErrorKind::kUsage,
                "'{}' is {} already, and would lose a second time. Quantize the model that it was "
                "made of, or say --requantize",
                formats::Escape(tensor.name), tensor::Traits(tensor.dtype).name);
  }
  return *dtype;
}

}  // namespace

std::string NamesOfQuantizableTypes() {
  std::vector<std::string_view> names;
  for (const tensor::DTypeTraits& traits : tensor::AllDTypes()) {
    if (kernels::CanQuantize(traits.dtype)) {
      names.push_back(traits.name);
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<std::vector<DType>> PlanQuantizedTypes(const formats::Catalogue& catalogue,
                                              const QuantizePlanOptions& options) {
  if (auto checked = CheckTypes(options); !checked) {
    return Forward(checked);
  }
  std::vector<bool> is_used(options.overrides.size());
  std::vector<DType> types;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    auto dtype = TypeOf(tensor, catalogue, options, is_used);
    if (!dtype) {
      return Forward(dtype);
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
