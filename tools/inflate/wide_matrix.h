// The bytes of one matrix of the wide model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "tools/inflate/plan.h"
#include "tools/inflate/wide_row.h"

namespace plimsoll::inflate {

// Reads the matrices of a WideTensor's source and widens their rows, each once: most rows of a wide
// matrix are copies of one another. Not thread-safe.
class WideMatrix {
 public:
  // `catalogue` is that of the tensor's source; both outlive this.
  WideMatrix(const formats::Catalogue& catalogue, const WideTensor& wide);

  // Passes the rows of matrix `idx` in order to `append`, in pieces of about a megabyte. kBadModel
  // names the tensor and the row that holds something that is no weight.
  using AppendFn = std::function<Result<>(std::span<const std::byte>)>;
  [[nodiscard]] Result<> Write(uint64_t idx, const AppendFn& append);

 private:
  [[nodiscard]] Result<> Read(uint64_t idx);
  [[nodiscard]] Result<> WidenRow(uint64_t row);

  const formats::Catalogue& catalogue_;
  const WideTensor& wide_;
  RowWidener widener_;
  std::vector<std::byte> small_;  // the source's matrix
  std::vector<float> small_row_;
  std::vector<std::byte> widened_;  // each row of the source
  std::vector<std::byte> piece_;
};

}  // namespace plimsoll::inflate
