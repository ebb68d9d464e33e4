#include "model/products.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::model {
namespace {

// Less, a microsecond of streaming, is not worth waking a thread for; more, some sixteen, is long
// to wait for at the end of a stage.
constexpr uint64_t kMinTaskBytes = 32 * kKiB;
constexpr uint64_t kMaxTaskBytes = 512 * kKiB;
constexpr size_t kMaxProducts = 4;

}  // namespace

uint64_t RowsPerTask(uint64_t rows, uint64_t row_bytes, size_t n_threads) {
  if (n_threads == 1) {
    return AlignUp(rows, tensor::kRowsPerGroup);
  }
  const uint64_t even = CeilDiv(rows, n_threads * kTasksPerThread);
  const uint64_t least = CeilDiv(kMinTaskBytes, row_bytes);
  const uint64_t most = std::max(kMaxTaskBytes / row_bytes, uint64_t{4} * tensor::kRowsPerGroup);
  return AlignUp(std::min(std::max(even, least), most), tensor::kRowsPerGroup);
}

void RunProducts(const Step& step, std::span<const Product> products) {
  Invariant(products.size() <= kMaxProducts, "a stage has few products");
  uint64_t rows_per_task[kMaxProducts] = {};
  size_t end[kMaxProducts] = {};
  size_t n_tasks = 0;
  for (size_t p = 0; p < products.size(); ++p) {
    const tensor::Matrix& w = products[p].w;
    rows_per_task[p] = RowsPerTask(w.rows, w.row_bytes(), step.team.n_threads());
    n_tasks += CeilDiv(w.rows, rows_per_task[p]);
    end[p] = n_tasks;
  }
  step.team.Run(n_tasks, [&](size_t task, size_t thread) {
    size_t p = 0;
    while (task >= end[p]) {
      ++p;
    }
    const Product& product = products[p];
    const uint64_t first = (task - (p == 0 ? 0 : end[p - 1])) * rows_per_task[p];
    const uint64_t last = std::min(first + rows_per_task[p], product.w.rows);
    step.kernels.matmul(product.w, first, last, product.x, product.y + first, product.y_stride,
                        step.scratch.threads[thread].workspace);
  });
}

}  // namespace plimsoll::model
