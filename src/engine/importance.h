// Importance matrices: of every weight matrix the mean square of each channel that enters it, over
// a text. The square of an error in a weight counts as much as that.
//
// Files are GGUF as llama.cpp's llama-imatrix writes and reads them: general.type "imatrix",
// imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size, and of each tensor NAME the sums of
// squares NAME.in_sum2, [k, n_matrices], and how many rows they are of, NAME.counts,
// [1, n_matrices], both F32; llama.cpp has [k * n_matrices, 1] and [1, 1] where the matrices are
// those of heads. Files of either program serve the other.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"

namespace plimsoll::engine {

// Reads a tensor's importance when it is asked for: only the names are kept.
class ImportanceMatrix {
 public:
  // kIo, and kBadModel for a file that is no importance matrix.
  [[nodiscard]] static Result<ImportanceMatrix> Open(const std::filesystem::path& path);

  // [n_matrices][k] for a tensor of that shape, all finite and none below 0; empty where the file
  // has none. A matrix that the text never reached counts everywhere alike. kBadModel, naming the
  // file's tensor, for another shape or type, for sums without counts or the other way round, and
  // for numbers that are negative or not finite.
  [[nodiscard]] Result<std::vector<float>> Of(const formats::TensorEntry& tensor) const;

 private:
  explicit ImportanceMatrix(formats::Catalogue file) : file_(std::move(file)) {}
  [[nodiscard]] Result<std::vector<float>> Read(const formats::TensorEntry& entry) const;

  formats::Catalogue file_;
};

}  // namespace plimsoll::engine
