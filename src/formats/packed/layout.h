// Where things lie in a packed file: derived from the shapes of the experts alone, so that no file
// can say it in two ways. docs/formats.md has the format byte by byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace plimsoll::formats::packed {

// Of an expert's three matrices, in the order in which they are used and stored.
inline constexpr size_t kNProjections = 3;
[[nodiscard]] std::string_view ProjectionName(size_t projection);  // "gate", "up", "down"

// Records begin at multiples of this: what direct I/O wants (io::kIoAlignment).
inline constexpr uint64_t kRecordAlignment = 4096;
// Parts of a record begin at multiples of this.
inline constexpr uint64_t kPartAlignment = 64;

inline constexpr uint32_t kMaxExperts = 4096;  // of a layer

struct MatrixShape {
  tensor::DType dtype = tensor::DType::kF32;
  uint64_t k = 0;  // length of a row
  uint64_t rows = 0;

  friend bool operator==(const MatrixShape&, const MatrixShape&) = default;
};

struct LayerShape {
  uint32_t n_experts = 0;  // 0: the layer routes to none, and its projections are MatrixShape{}
  std::array<MatrixShape, kNProjections> projections;

  friend bool operator==(const LayerShape&, const LayerShape&) = default;
};

// One projection's place in the records of its layer.
struct Part {
  MatrixShape shape;
  uint64_t offset = 0;  // from the beginning of the record; a multiple of kPartAlignment
  uint64_t bytes = 0;   // of the matrix
  // What its checksum covers, from `offset` on: the matrix and the zeros behind it, up to the next
  // part or the end of the record. The covered bytes of a record's parts are the whole record.
  uint64_t covered_bytes = 0;
};

struct Layer {
  uint32_t n_experts = 0;
  std::array<Part, kNProjections> parts;
  // The bytes of a record that are wanted: its matrices, each followed by
  // tensor::kReadablePadding bytes (of the next matrix or zeros).
  uint64_t record_bytes = 0;
  uint64_t stride = 0;  // from record to record: record_bytes and zeros up to the alignment
  uint64_t begin = 0;   // of the first record, from the beginning of the file
  uint32_t first_record = 0;

  [[nodiscard]] uint64_t RecordOffset(uint32_t expert) const { return begin + expert * stride; }
};

struct FileLayout {
  std::vector<Layer> layers;
  uint32_t n_records = 0;
  uint64_t begin = 0;       // of the first record
  uint64_t file_bytes = 0;  // the end of the last record's stride
};

// The records begin at the first aligned byte behind a header of `header_bytes`. kBadModel, naming
// the layer and the projection, for a shape that no matrix has or sizes beyond 2^63 bytes.
[[nodiscard]] Result<FileLayout> MakeLayout(std::span<const LayerShape> layers,
                                            uint64_t header_bytes);

}  // namespace plimsoll::formats::packed
