// What the products of single matrices are multiplied by: the tensor "X.scale" beside "X.weight",
// as files have it that were converted from NVIDIA's NVFP4 checkpoints. One float a matrix; of a
// stack, one for each of its matrices.
#pragma once

#include <deque>

#include "formats/catalogue.h"
#include "model/declarations.h"

namespace plimsoll::model {

class MatrixScales {
 public:
  // Declares those that the catalogue has for matrices which are declared already. A name that is
  // declared itself means something else to the architecture.
  void Declare(const formats::Catalogue& catalogue, Declarations& declarations);

  // Once tensors are loaded: points the matrices to theirs.
  void Attach() const;

 private:
  struct Scale {
    tensor::Matrix* matrix;  // of a stack, the first
    Vector values;
  };
  std::deque<Scale> all_;  // declarations point into it
};

}  // namespace plimsoll::model
