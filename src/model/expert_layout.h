// Where the experts of a model lie in its files: what a pager reads and a packed file rearranges.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "formats/catalogue.h"
#include "formats/packed/packed_file.h"
#include "model/loader.h"
#include "model/weights.h"
#include "tensor/matrix.h"

namespace plimsoll::model {

// The projections of an expert, in the order in which they are used.
inline constexpr size_t kNProjections = 3;
enum class Projection : uint8_t { kGate, kUp, kDown };

// One projection of all experts of a layer.
struct ExpertProjection {
  tensor::Matrix matrix;  // the first expert's: type, layout, k, rows and scale, but no data
  const formats::TensorEntry* entry = nullptr;
  // Where it is read from a packed file: the first expert's part, whose bytes are the matrix and
  // what else its checksum covers, and the way from each to the next. No bytes: from the model's
  // own files.
  formats::FileRange packed;
  uint64_t packed_stride = 0;

  [[nodiscard]] uint64_t read_bytes() const {
    return packed.bytes != 0 ? packed.bytes : matrix.bytes();
  }
  // Where one expert's matrix is; it lies in one piece.
  [[nodiscard]] formats::FileRange RangeOf(uint32_t expert) const;
};

struct ExpertLayer {
  uint32_t n_experts = 0;  // 0: the layer routes to none, and has no projections
  std::array<ExpertProjection, kNProjections> projections;  // by Projection
};

// Of every layer. `weights` are those that the declarations of `bound` point into. kBadModel when a
// file keeps an expert's matrix in pieces.
[[nodiscard]] Result<std::vector<ExpertLayer>> FindExperts(std::span<const BoundTensor> bound,
                                                           const ModelWeights& weights);

// From here on the experts are those of the packed file, which is file number `file_idx` behind the
// catalogue's. kBadModel when its layers are others.
[[nodiscard]] Result<> ReadFromPacked(const formats::packed::PackedFile& packed, uint32_t file_idx,
                                      std::span<ExpertLayer> layers);

}  // namespace plimsoll::model
