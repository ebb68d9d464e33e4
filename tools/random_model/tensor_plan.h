// Which tensors a random model has, and how each one's values are distributed.
#pragma once

#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tools/random_model/model_spec.h"

namespace plimsoll::random_model {

struct PlannedTensor {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;
  tensor::Shape shape;
  double rms = 0;  // about `mean`
  double mean = 0;
  double row_spread = 0;  // F32 only: a row's r.m.s. is multiplied by e^(row_spread * normal)
  std::vector<float> values = {};  // when not empty: these, and nothing random
};

// In the order of the file. `spec` has passed Check(). Names are GGUF's, as llama.cpp's converter
// writes them.
[[nodiscard]] std::vector<PlannedTensor> PlanTensors(const ModelSpec& spec);

}  // namespace plimsoll::random_model
