// A file that is read and written in place, in whole blocks, past the page cache where the file
// system allows that: what lies in it is used once and would push out what is used often.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"
#include "io/aligned_range.h"
#include "io/file.h"

namespace plimsoll::io {

// Offsets and lengths are multiples of kIoAlignment. Memory need not be aligned, but only what is
// goes directly. Calls may come from several threads at a time, about different blocks.
class DirectFile {
 public:
  // Makes the file if there is none, readable by its owner alone. kIo.
  [[nodiscard]] static Result<DirectFile> Open(const std::filesystem::path& path);
  // A second way into an open file, to read it.
  [[nodiscard]] static Result<DirectFile> OpenForReading(const File& file);

  DirectFile(DirectFile&& other) noexcept;
  DirectFile& operator=(DirectFile&&) = delete;
  ~DirectFile();

  // kIo when it cannot be read; what lies past the end cannot.
  [[nodiscard]] Result<> ReadAt(uint64_t offset, std::span<std::byte> to) const;
  // kIo, naming the cause (a full disk among them). The file becomes as long as it takes.
  [[nodiscard]] Result<> WriteAt(uint64_t offset, std::span<const std::byte> from) const;
  // What was written is on the disk. After a failure none of it may be believed to be: the system
  // has dropped it, and says so once.
  [[nodiscard]] Result<> Sync() const;
  // Cuts the file off.
  [[nodiscard]] Result<> Truncate(uint64_t bytes) const;
  // False when the file system refuses direct I/O: then all of it goes through the page cache.
  [[nodiscard]] bool is_direct() const { return direct_fd_ >= 0; }

 private:
  DirectFile(int fd, int direct_fd, std::filesystem::path path)
      : fd_(fd), direct_fd_(direct_fd), path_(std::move(path)) {}
  // Of the two descriptors, the one for this memory.
  [[nodiscard]] int DescriptorFor(const std::byte* memory) const;

  int fd_;
  int direct_fd_;  // -1: none
  std::filesystem::path path_;
};

}  // namespace plimsoll::io
