// How the products of experts are cut into tasks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/step.h"
#include "model/weights.h"

namespace plimsoll::model {

// The rows of a matrix that a task makes.
struct RowRange {
  uint64_t first = 0;
  uint64_t last = 0;
};
[[nodiscard]] RowRange TaskRows(size_t run, uint64_t rows_per_task, uint64_t rows);

// Rows that a task takes of `n_matrices` projections like `w`: a multiple of `least`.
[[nodiscard]] uint64_t ExpertRowsPerTask(const Step& step, const tensor::Matrix& w,
                                         size_t n_matrices, uint64_t least);

// Counts a task that is done; true, and the count is 0 again, when it was the last of n. What the
// others wrote before they counted is there to read.
[[nodiscard]] bool IsLast(uint32_t& n_done, uint32_t n);

// What one expert of a stack adds to its results; nothing where the model has no such biases.
[[nodiscard]] Vector BiasOf(Vector biases, uint64_t expert, uint64_t length);
void AddBias(const Step& step, Vector bias, RowRange rows, float* y);

}  // namespace plimsoll::model
