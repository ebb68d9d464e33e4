// Which type each tensor of a model gets when the model is quantized.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "tensor/dtype.h"

namespace plimsoll::engine {

// For the tensors whose whole name fits the pattern, in which * stands for any text.
struct TypeOverride {
  std::string pattern;
  tensor::DType dtype = tensor::DType::kF32;
};

struct QuantizePlanOptions {
  tensor::DType dtype = tensor::DType::kF32;
  std::vector<TypeOverride> overrides;  // the first that fits decides
  // Also tensors that are quantized already, which lose a second time.
  bool requantizes = false;
};

// "F32, F16, ...": the types that PlanQuantizedTypes takes.
[[nodiscard]] std::string NamesOfQuantizableTypes();

// In the catalogue's order. Matrices get `dtype`; where their rows are no whole number of its
// blocks Q8_0, and where they are none of that either F16. What is small or steers stays as it is:
// vectors, norms and routers. The matrix that makes the logits gets Q6_K at least, for everything
// goes through it.
// kUsage: a type that cannot be made, an override that fits no tensor or whose type the rows of one
// cannot have, and tensors that are quantized already.
[[nodiscard]] Result<std::vector<tensor::DType>> PlanQuantizedTypes(
    const formats::Catalogue& catalogue, const QuantizePlanOptions& options);

}  // namespace plimsoll::engine
