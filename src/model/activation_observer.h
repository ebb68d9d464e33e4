// Who wants to see what enters the matrices: a recorder of importance matrices.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/matrix.h"

namespace plimsoll::model {

struct ObservedRows {
  uint64_t matrix_idx = 0;      // in a stack: the expert, or the head
  const float* rows = nullptr;  // [][stride], of which k are read
  uint64_t k = 0;
  uint64_t stride = 0;
  size_t n = 0;
  const uint32_t* row_idx = nullptr;  // which rows, [n]; null: the first n
  const float* factors = nullptr;     // of these rows, [n]; null: all are 1

  [[nodiscard]] const float* row(size_t i) const {
    return rows + (row_idx == nullptr ? i : row_idx[i]) * stride;
  }
};

class ActivationObserver {
 public:
  ActivationObserver() = default;
  ActivationObserver(const ActivationObserver&) = delete;
  ActivationObserver& operator=(const ActivationObserver&) = delete;
  virtual ~ActivationObserver() = default;

  // Once for every input (model/matrix_inputs.h) and expert or head of a pass, on one thread; of
  // the output's once for every few tokens. `reader` is one of those that read it, the first of a
  // stack; the model may have none of its kind. The rows are valid during the call.
  virtual void OnInput(const tensor::Matrix& reader, const ObservedRows& rows) = 0;
};

}  // namespace plimsoll::model
