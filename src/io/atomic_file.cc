#include "io/atomic_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace plimsoll::io {
Result<> SyncFolder(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot open the folder {}: {}", folder.string(),
                std::strerror(errno));
  }
  const int synced = ::fsync(fd);
  const int cause = errno;
  ::close(fd);
  // Some file systems do not sync folders and say EINVAL; they need it not.
  if (synced != 0 && cause != EINVAL) {
    return Fail(ErrorKind::kIo, "cannot sync the folder {}: {}", folder.string(),
                std::strerror(cause));
  }
  return {};
}

Result<AtomicFile> AtomicFile::Create(std::filesystem::path path, unsigned permissions) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.tmp", ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, permissions);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot create {}: {}", temporary.string(), std::strerror(errno));
  }
  return AtomicFile(fd, std::move(path), std::move(temporary));
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      size_(other.size_) {}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
    ::unlink(temporary_.c_str());
  }
}

Result<> AtomicFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      size_ += static_cast<uint64_t>(n);
    } else if (n == 0 || errno != EINTR) {
      return Fail(ErrorKind::kIo, "cannot write {} at byte {}: {}", temporary_.string(), size_,
                  std::strerror(errno));
    }
  }
  return {};
}

Result<> AtomicFile::Commit() {
  // A failed fsync may have dropped the pages: the data counts as lost, a retry would lie.
  if (::fsync(fd_) != 0) {
    return Fail(ErrorKind::kIo, "cannot sync {}: {}", temporary_.string(), std::strerror(errno));
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return Fail(ErrorKind::kIo, "cannot rename {} to {}: {}", temporary_.string(), path_.string(),
                std::strerror(errno));
  }
  ::close(std::exchange(fd_, -1));
  return SyncFolder(path_);
}

}  // namespace plimsoll::io
