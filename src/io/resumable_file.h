// Writing a large file over several runs, in any order, so that its name only ever holds the whole
// of it: the bytes go to PATH.partial, which stays when the process is stopped or killed and is
// renamed when all of it is on the disk. (AtomicFile is for what is written in one go.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/result.h"
#include "io/file.h"

namespace plimsoll::io {

// Not thread-safe. Locks its partial file: two processes never write the same one.
class ResumableFile {
 public:
  // Opens what an earlier run left of `path`, or begins it. kIo when the folder cannot be written
  // to, kFailed while another process writes it.
  [[nodiscard]] static Result<ResumableFile> Open(const std::filesystem::path& path);

  ResumableFile(ResumableFile&& other) noexcept;
  ResumableFile& operator=(ResumableFile&&) = delete;
  // The partial file stays.
  ~ResumableFile();

  [[nodiscard]] uint64_t size() const { return size_; }  // 0: nothing was left
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::filesystem::path& partial_path() const { return partial_; }

  // Throws away what is there and makes it `bytes` zeros, for which the disk's space is taken where
  // the file system can. kIo, saying what is wanted and what is free.
  [[nodiscard]] Result<> Restart(uint64_t bytes);
  // Within size(). kIo, naming the cause (a full disk among them). Where the memory lies at an
  // address that is `offset` modulo kIoAlignment, whole blocks go to the disk without a copy (which
  // doubles the speed); all else goes through the page cache.
  [[nodiscard]] Result<> WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] Result<> ReadAt(uint64_t offset, std::span<std::byte> out) const;
  // What was written is on the disk, and out of the page cache.
  [[nodiscard]] Result<> Sync();
  // Forces the bytes to the disk and gives the file its name, replacing what had it. After a
  // failure the old file is still there and this object can only be destroyed.
  [[nodiscard]] Result<> Commit();
  // Removes the partial file; this object can only be destroyed.
  void Discard();

 private:
  ResumableFile(int fd, std::filesystem::path path, std::filesystem::path partial)
      : fd_(fd), path_(std::move(path)), partial_(std::move(partial)) {}
  [[nodiscard]] Result<> Write(int fd, uint64_t offset, std::span<const std::byte> bytes);
  void Close();

  int fd_;
  int direct_fd_ = -1;  // the same file; -1 where direct I/O is refused
  std::filesystem::path path_;
  std::filesystem::path partial_;
  uint64_t size_ = 0;
};

}  // namespace plimsoll::io
