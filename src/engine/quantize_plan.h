// Which type each tensor of a model gets when the model is quantized.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/quantize_mix.h"
#include "formats/catalogue.h"
#include "tensor/dtype.h"

namespace plimsoll::engine {

// For the tensors whose whole name fits the pattern, in which * stands for any text.
struct TypeOverride {
  std::string pattern;
  tensor::DType dtype = tensor::DType::kF32;
};

struct QuantizePlanOptions {
  QuantizeMix mix;
  std::vector<TypeOverride> overrides;  // the first that fits decides
  // Also tensors that are quantized already, which lose a second time.
  bool requantizes = false;
  bool has_importance = false;      // an importance matrix will be used
  bool without_importance = false;  // also for the types that want one
};

// All matrices of one type.
[[nodiscard]] QuantizeMix PureMix(tensor::DType dtype);

// In the catalogue's order. Matrices get what the mix says; where their rows are no whole number of
// its blocks a type of smaller blocks with about as many bits, and where they are none of that
// either F16. What is small or steers stays as it is: vectors, norms, routers and
// convolutions.
// kUsage: an override that fits no tensor or whose type the rows of one cannot have, tensors that
// are quantized already, and types that want an importance matrix where there is none.
[[nodiscard]] Result<std::vector<tensor::DType>> PlanQuantizedTypes(
    const formats::Catalogue& catalogue, const QuantizePlanOptions& options);

}  // namespace plimsoll::engine
