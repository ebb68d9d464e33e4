// What enters the matrices of a model, and which of them read the same.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/catalogue.h"
#include "model/loader.h"
#include "model/weights.h"

namespace plimsoll::model {

struct MatrixInput {
  // The weights that read it, the first of each stack; also those that this model does not have.
  std::vector<const tensor::Matrix*> readers;
  std::vector<const formats::TensorEntry*> tensors;  // of those that it has; one at least
  uint64_t k = 0;
  uint64_t n_matrices = 1;  // of a stack, each of which has rows of its own
  bool makes_logits = false;
};

// Of all matrices but embeddings, of which rows are looked up, and routers, in the order of their
// use. The logits' is there where they have a matrix of their own.
[[nodiscard]] std::vector<MatrixInput> FindMatrixInputs(std::span<const BoundTensor> bound,
                                                        const ModelWeights& weights);

}  // namespace plimsoll::model
