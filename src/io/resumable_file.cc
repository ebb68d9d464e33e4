#include "io/resumable_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "io/aligned_range.h"
#include "io/atomic_file.h"

namespace plimsoll::io {
namespace {

// False when the file was renamed or removed between its opening and its locking.
bool IsStillAt(int fd, const std::filesystem::path& path) {
  struct stat mine = {};
  struct stat there = {};
  return ::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
         mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

// The same open file by another name, for direct I/O; -1 where that is refused.
int OpenDirect(int fd) {
  return ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_CLOEXEC | O_DIRECT);
}

std::string FreeSpace(int fd) {
  struct statvfs system = {};
  return ::fstatvfs(fd, &system) == 0
             ? fmt::format("; {} are free there", FormatBytes(system.f_bavail * system.f_frsize))
             : std::string();
}

}  // namespace

Result<ResumableFile> ResumableFile::Open(const std::filesystem::path& path) {
  std::filesystem::path partial = path;
  partial += ".partial";
  while (true) {
    const int fd = ::open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
      return Fail(ErrorKind::kIo, "cannot write {}: {}", partial.string(), std::strerror(errno));
    }
    ResumableFile file(fd, path, partial);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return Fail(ErrorKind::kFailed, "{} is being written by another process", partial.string());
    }
    if (!IsStillAt(fd, partial)) {
      continue;
    }
    struct stat status = {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
      return Fail(ErrorKind::kIo, "{} is not a regular file", partial.string());
    }
    file.size_ = static_cast<uint64_t>(status.st_size);
    file.direct_fd_ = OpenDirect(fd);
    return file;
  }
}

ResumableFile::ResumableFile(ResumableFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      direct_fd_(std::exchange(other.direct_fd_, -1)),
      path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      size_(other.size_) {}

ResumableFile::~ResumableFile() { Close(); }

void ResumableFile::Close() {
  for (int* fd : {&fd_, &direct_fd_}) {
    if (*fd >= 0) {
      ::close(std::exchange(*fd, -1));
    }
  }
}

Result<> ResumableFile::Restart(uint64_t bytes) {
  size_ = 0;
  const auto length = static_cast<off_t>(bytes);
  int cause = ::ftruncate(fd_, 0) == 0 ? 0 : errno;
  if (cause == 0 && ::fallocate(fd_, 0, 0, length) != 0) {
    cause = errno;
    // Without such a call the disk may turn out full later.
    if (cause == EOPNOTSUPP || cause == ENOSYS) {
      cause = ::ftruncate(fd_, length) == 0 ? 0 : errno;
    }
  }
  if (cause != 0) {
    // What was taken before the disk was full goes back.
    [[maybe_unused]] const int emptied = ::ftruncate(fd_, 0);
    return Fail(ErrorKind::kIo, "cannot make room for {} in {}: {}{}", FormatBytes(bytes),
                partial_.string(), std::strerror(cause), FreeSpace(fd_));
  }
  size_ = bytes;
  return {};
}

Result<> ResumableFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  const uint64_t end = offset + bytes.size();
  const uint64_t blocks = AlignUp(offset, kIoAlignment);
  const uint64_t blocks_end = end - end % kIoAlignment;
  const bool fits =
      reinterpret_cast<uintptr_t>(bytes.data()) % kIoAlignment == offset % kIoAlignment;
  if (direct_fd_ < 0 || !fits || blocks >= blocks_end) {
    return Write(fd_, offset, bytes);
  }
  const auto before = bytes.first(blocks - offset);
  const auto behind = bytes.subspan(blocks_end - offset);
  auto written = Write(fd_, offset, before);
  if (written) {
    written = Write(direct_fd_, blocks, bytes.subspan(before.size(), blocks_end - blocks));
  }
  return written ? Write(fd_, blocks_end, behind) : written;
}

Result<> ResumableFile::Write(int fd, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    } else if (n < 0 && errno == EINVAL && fd == direct_fd_) {
      // The device has larger blocks, or what is left of a short write is none.
      return Write(fd_, offset, bytes);
    } else if (n == 0 || errno != EINTR) {
      return Fail(ErrorKind::kIo, "cannot write {} at byte {}: {}", partial_.string(), offset,
                  std::strerror(errno));
    }
  }
  return {};
}

Result<> ResumableFile::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n > 0) {
      out = out.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    } else if (n == 0 || errno != EINTR) {
      return Fail(ErrorKind::kIo, "cannot read {} at byte {}: {}", partial_.string(), offset,
                  n == 0 ? "it ends there" : std::strerror(errno));
    }
  }
  return {};
}

Result<> ResumableFile::Sync() {
  // A failed fsync may have dropped the pages: the data counts as lost, a retry would lie.
  if (::fsync(fd_) != 0) {
    return Fail(ErrorKind::kIo, "cannot sync {}: {}", partial_.string(), std::strerror(errno));
  }
  static_cast<void>(::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED));
  return {};
}

Result<> ResumableFile::Commit() {
  if (auto synced = Sync(); !synced) {
    return synced;
  }
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    return Fail(ErrorKind::kIo, "cannot rename {} to {}: {}", partial_.string(), path_.string(),
                std::strerror(errno));
  }
  Close();
  return SyncFolder(path_);
}

void ResumableFile::Discard() {
  ::unlink(partial_.c_str());
  Close();
}

}  // namespace plimsoll::io
