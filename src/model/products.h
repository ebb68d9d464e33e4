// Matrix products as one stage of the team.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/activation_observer.h"
#include "model/step.h"
#include "tensor/matrix.h"

namespace plimsoll::model {

// y[i * y_stride + r] = (w row r) . (x row i)
struct Product {
  tensor::Matrix w;
  kernels::Activations x;
  float* y = nullptr;
  size_t y_stride = 0;
};

// Rows [first, first + n) of a matrix. Where it is kRows16, `first` begins a group, and the range
// ends with one or with the matrix.
[[nodiscard]] inline tensor::Matrix RowsOf(tensor::Matrix w, uint64_t first, uint64_t n) {
  w.rows = n;
  if (w.data != nullptr) {
    w.data += first * w.row_bytes();
  }
  return w;
}

// Of a stage: so many that no thread waits long for the last one.
inline constexpr uint64_t kTasksPerThread = 4;

// Rows that a task takes so that `n_threads` threads share `rows` rows of `row_bytes` well: a
// multiple of 16, several tasks a thread, none too small to be worth handing out or so large that
// others wait for it. One thread takes them all at once, for each task interrupts the stream.
[[nodiscard]] uint64_t RowsPerTask(uint64_t rows, uint64_t row_bytes, size_t n_threads);

// Shows an observer, if there is one, the n rows that `reader` and others like it read.
inline void Observe(const Step& step, const tensor::Matrix& reader, const PackedRows& packed,
                    size_t n) {
  if (step.activations != nullptr) {
    step.activations->OnInput(reader,
                              {.rows = packed.floats, .k = packed.k, .stride = packed.k, .n = n});
  }
}

// Makes all of them in one stage.
void RunProducts(const Step& step, std::span<const Product> products);

}  // namespace plimsoll::model
