// Makes a packed file: `plimsoll pack`.
//
// The model's files are read once, from front to back, whatever order their matrices have; each
// matrix goes to its place in its expert's record when its last byte has come, and the contents of
// the files are hashed on the way. Memory: some read buffers, one matrix and the tables.
//
// What is done is told by the checksums in the partial file: a run that finds one takes the parts
// whose bytes still have the checksum that stands there, and makes the others.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/packed/layout.h"
#include "io/file_stream.h"

namespace plimsoll::formats::packed {

// A layer of the model to be packed, and where its experts' matrices are: each in one piece, in
// GGUF's own layout.
struct SourceLayer {
  LayerShape shape;
  std::vector<std::array<FileRange, kNProjections>> experts;
};

struct PackOptions {
  io::FileStreamOptions stream;
  // Of the bytes to be read in all. Called at least every few megabytes.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> on_progress;
  std::function<bool()> is_stopped;  // polled as often
};

struct PackOutcome {
  uint64_t file_bytes = 0;
  uint64_t read_bytes = 0;       // of the model
  uint64_t n_matrices = 0;       // of all experts
  uint64_t n_matrices_kept = 0;  // taken over from an earlier run
};

// Writes `path`, replacing what has that name when all is done. kInterrupted when it was stopped: a
// later call with the same arguments goes on. kIo for what disks do, a model that changed meanwhile
// among it; what is done so far stays for the next call there too.
[[nodiscard]] Result<PackOutcome> Pack(const Catalogue& catalogue,
                                       const std::vector<SourceLayer>& layers,
                                       const std::filesystem::path& path,
                                       const PackOptions& options);

}  // namespace plimsoll::formats::packed
