#include "model/expert_tasks.h"

#include <algorithm>
#include <atomic>

#include "base/checked.h"
#include "model/products.h"

namespace plimsoll::model {

RowRange TaskRows(size_t run, uint64_t rows_per_task, uint64_t rows) {
  const uint64_t first = run * rows_per_task;
  return {first, std::min(first + rows_per_task, rows)};
}

uint64_t ExpertRowsPerTask(const Step& step, const tensor::Matrix& w, size_t n_matrices,
                           uint64_t least) {
  const uint64_t some = RowsPerTask(n_matrices * w.rows, w.row_bytes(), step.team.n_threads());
  return AlignUp(some, least);
}

bool IsLast(uint32_t& n_done, uint32_t n) {
  const std::atomic_ref<uint32_t> count(n_done);
  if (count.fetch_add(1, std::memory_order_acq_rel) + 1 < n) {
    return false;
  }
  count.store(0, std::memory_order_relaxed);
  return true;
}

Vector BiasOf(Vector biases, uint64_t expert, uint64_t length) {
  return biases.empty() ? Vector() : biases.subspan(expert * length, length);
}

void AddBias(const Step& step, Vector bias, RowRange rows, float* y) {
  if (!bias.empty()) {
    step.kernels.add(bias.data() + rows.first, rows.last - rows.first, y);
  }
}

}  // namespace plimsoll::model
