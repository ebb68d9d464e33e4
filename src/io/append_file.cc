#include "io/append_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace plimsoll::io {

Result<AppendFile> AppendFile::Create(std::filesystem::path path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot create {}: {}", path.string(), std::strerror(errno));
  }
  return AppendFile(fd, std::move(path));
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), size_(other.size_) {}

void AppendFile::Close() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
  }
}

Result<> AppendFile::Append(std::span<const std::byte> bytes) {
  uint64_t end = size_;
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      end += static_cast<uint64_t>(n);
    } else if (n == 0 || errno != EINTR) {
      const int cause = errno;
      // A device or a pipe cannot be cut; it has no length to restore either.
      if (end != size_ && ::ftruncate(fd_, static_cast<off_t>(size_)) == 0) {
        ::lseek(fd_, static_cast<off_t>(size_), SEEK_SET);
      }
      return Fail(ErrorKind::kIo, "cannot write {} at byte {}: {}", path_.string(), end,
                  std::strerror(cause));
    }
  }
  size_ = end;
  return {};
}

}  // namespace plimsoll::io
