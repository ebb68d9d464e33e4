// Reading all of a packed file, or of a model, and comparing it with its checksums: `plimsoll
// verify`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/packed/packed_file.h"
#include "io/file_stream.h"

namespace plimsoll::formats::packed {

struct VerifyOptions {
  io::FileStreamOptions stream;
  bool sha256 = false;  // of a model's files, besides XXH3: slower than a fast disk
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)>
      on_progress;                   // every few megabytes
  std::function<bool()> is_stopped;  // polled as often
};

// A stretch of a packed file that is not what was written.
struct DamagedPart {
  uint32_t layer = 0;
  uint32_t expert = 0;
  // kNProjections: the zeros behind the record, which nobody reads.
  uint32_t projection = 0;
  uint64_t offset = 0;
};

// Every part of every record, and that what lies between them is zeros; the header was verified
// when the file was opened. kIo when it cannot be read, kInterrupted when it was stopped.
[[nodiscard]] Result<std::vector<DamagedPart>> VerifyRecords(const PackedFile& packed,
                                                             const VerifyOptions& options);

// A piece of a model's file that is not what the packed file was made from.
struct DamagedPiece {
  uint32_t file_idx = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::vector<std::string> tensors;  // those with bytes in it
};
struct ModelContents {
  std::vector<io::Digest128> digests;  // of each file, all of it
  std::vector<std::string> sha256s;    // the same, where VerifyOptions::sha256
  std::vector<DamagedPiece> damaged;   // nothing without a packed file to compare with
};
// Hashes a model's files; `packed`, when it is not null, was made from files of these sizes.
[[nodiscard]] Result<ModelContents> VerifyModel(const Catalogue& catalogue,
                                                const PackedFile* packed,
                                                const VerifyOptions& options);

}  // namespace plimsoll::formats::packed
