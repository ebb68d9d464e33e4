#include "io/direct_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace plimsoll::io {
namespace {

// By the descriptor and not by the path, which may lead to another file by now.
int Reopen(int fd, int flags) {
  return ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), flags | O_CLOEXEC);
}

}  // namespace

Result<DirectFile> DirectFile::Open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  return DirectFile(fd, Reopen(fd, O_RDWR | O_DIRECT), path);
}

Result<DirectFile> DirectFile::OpenForReading(const File& file) {
  const int fd = Reopen(file.descriptor(), O_RDONLY);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot open {}: {}", file.name(), std::strerror(errno));
  }
  return DirectFile(fd, Reopen(fd, O_RDONLY | O_DIRECT), file.name());
}

DirectFile::DirectFile(DirectFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      direct_fd_(std::exchange(other.direct_fd_, -1)),
      path_(std::move(other.path_)) {}

DirectFile::~DirectFile() {
  for (const int fd : {fd_, direct_fd_}) {
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

int DirectFile::DescriptorFor(const std::byte* memory) const {
  const bool is_aligned = reinterpret_cast<uintptr_t>(memory) % kIoAlignment == 0;
  return is_aligned && direct_fd_ >= 0 ? direct_fd_ : fd_;
}

// A file system may take the flag and refuse the read (EINVAL): then it goes through the cache.
Result<> DirectFile::ReadAt(uint64_t offset, std::span<std::byte> to) const {
  int fd = DescriptorFor(to.data());
  while (!to.empty()) {
    const ssize_t n = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
    if (n > 0) {
      to = to.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    } else if (n == 0) {
      return Fail(ErrorKind::kIo, "{} ends at byte {}, {} bytes too early", path_.string(), offset,
                  to.size());
    } else if (errno == EINVAL && fd == direct_fd_) {
      fd = fd_;
    } else if (errno != EINTR && errno != EAGAIN) {
      return Fail(ErrorKind::kIo, "cannot read {} at byte {}: {}", path_.string(), offset,
                  std::strerror(errno));
    }
  }
  return {};
}

Result<> DirectFile::WriteAt(uint64_t offset, std::span<const std::byte> from) const {
  int fd = DescriptorFor(from.data());
  while (!from.empty()) {
    const ssize_t n = ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
    if (n > 0) {
      from = from.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    } else if (n < 0 && errno == EINVAL && fd == direct_fd_) {
      fd = fd_;
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      return Fail(ErrorKind::kIo, "cannot write {} at byte {}: {}", path_.string(), offset,
                  std::strerror(n == 0 ? ENOSPC : errno));
    }
  }
  return {};
}

Result<> DirectFile::Sync() const {
  if (::fdatasync(fd_) != 0) {
    return Fail(ErrorKind::kIo, "cannot sync {}: {}", path_.string(), std::strerror(errno));
  }
  return {};
}

Result<> DirectFile::Truncate(uint64_t bytes) const {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
    return Fail(ErrorKind::kIo, "cannot cut {} to {} bytes: {}", path_.string(), bytes,
                std::strerror(errno));
  }
  return {};
}

}  // namespace plimsoll::io
