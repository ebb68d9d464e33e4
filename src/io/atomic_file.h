// Writing a file so that its name only ever holds the whole of it: the bytes go to a temporary file
// beside it, which takes the name when all of it is on the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace plimsoll::io {

// Forces the folder that `file` lies in to the disk: a rename is there when its folder is. kIo.
[[nodiscard]] Result<> SyncFolder(const std::filesystem::path& file);

// Not thread-safe. The temporary file is removed unless Commit succeeded.
class AtomicFile {
 public:
  // kIo when the folder cannot be written to. `permissions`: of the file, less the process's mask.
  [[nodiscard]] static Result<AtomicFile> Create(std::filesystem::path path,
                                                 unsigned permissions = 0666);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // kIo, naming the cause (a full disk among them).
  [[nodiscard]] Result<> Append(std::span<const std::byte> bytes);
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Forces the bytes to the disk and gives the file its name, replacing what had it. After a
  // failure the old file is still there and this object can only be destroyed.
  [[nodiscard]] Result<> Commit();

 private:
  AtomicFile(int fd, std::filesystem::path path, std::filesystem::path temporary)
      : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

  void Discard();

  int fd_;
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  uint64_t size_ = 0;
};

}  // namespace plimsoll::io
