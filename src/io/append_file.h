// Writing a file as it comes: what was appended is there even if the process is killed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace plimsoll::io {

// Not thread-safe. Nothing is synced: a crash of the machine may lose the end.
class AppendFile {
 public:
  // Replaces what was there. kIo when it cannot be written to.
  [[nodiscard]] static Result<AppendFile> Create(std::filesystem::path path);

  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;
  ~AppendFile() { Close(); }

  // All of it or nothing: after a failure (a full disk) the file is as long as before. kIo.
  [[nodiscard]] Result<> Append(std::span<const std::byte> bytes);
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  AppendFile(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  void Close();

  int fd_;
  std::filesystem::path path_;
  uint64_t size_ = 0;
};

}  // namespace plimsoll::io
