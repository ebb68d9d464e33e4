// Ranges of files from front to back, read ahead of whoever looks at them: for work on more bytes
// than memory holds (packing, verification).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/file.h"
#include "io/frame_memory.h"
#include "io/reader.h"

namespace plimsoll::io {

struct FileStreamOptions {
  BackendOptions backend;
  uint64_t buffer_bytes = 4 << 20;    // what comes at once; a power of two, kIoAlignment or more
  uint32_t n_buffers = 4;             // at least 2: one is looked at while the others are read
  std::chrono::seconds patience{60};  // for one buffer
};

// Not thread-safe. Takes n_buffers * buffer_bytes of memory, and reads as class kBackground.
class FileStream {
 public:
  // kDoesNotFit, kIo or kFailed as FrameMemory and MakeReader.
  [[nodiscard]] static Result<std::unique_ptr<FileStream>> Create(const FileStreamOptions& options);

  // kIo when the system has no descriptors left.
  [[nodiscard]] Result<ReadFileId> AddFile(std::shared_ptr<const File> file);

  struct Range {
    ReadFileId file;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  // What Next gives from now on: these ranges, one after another. Nothing may be under way.
  void Start(std::vector<Range> ranges);

  struct Chunk {
    ReadFileId file;
    uint64_t offset = 0;  // of the file
    std::span<const std::byte> bytes;
  };
  // The bytes that follow, never of two ranges at once, each chunk up to the next multiple of
  // buffer_bytes in its file; none behind the last. They are valid until the next call. kIo when
  // they cannot be read, when the file changed since it was opened, or when the disk does not
  // answer.
  [[nodiscard]] Result<std::optional<Chunk>> Next();

 private:
  struct Buffer {
    std::span<std::byte> frame;
    Chunk chunk;
    bool is_there = false;
  };

  FileStream(const FileStreamOptions& options, FrameMemory memory, std::unique_ptr<Reader> reader);

  void ReadAhead();
  [[nodiscard]] Result<> WaitFor(const Buffer& buffer);

  FileStreamOptions options_;
  FrameMemory memory_;
  std::vector<Buffer> buffers_;  // a ring
  std::vector<Range> ranges_;
  size_t range_idx_ = 0;     // what is asked for next
  uint64_t range_done_ = 0;  // of that range, asked for
  uint64_t n_asked_ = 0;     // chunks
  uint64_t n_given_ = 0;
  std::unique_ptr<Reader> reader_;  // ends first: it may still write to the memory
};

}  // namespace plimsoll::io
