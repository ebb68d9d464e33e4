#include "io/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checksum.h"
#include "io/read_retries.h"

namespace plimsoll::io {

Result<std::shared_ptr<const File>> File::Open(const std::filesystem::path& path) {
  return OpenWindow(path, 0, UINT64_MAX);
}

Result<std::shared_ptr<const File>> File::OpenWindow(const std::filesystem::path& path,
                                                     uint64_t offset, uint64_t size,
                                                     std::string name) {
  // O_NONBLOCK: opening a FIFO must not hang before it is refused as no regular file.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  if (name.empty()) {
    name = path.filename().string();
  }
  std::shared_ptr<File> file(new File(fd, path, std::move(name), offset, 0));
  struct stat status = {};
  if (::fstat(fd, &status) != 0) {
    return Fail(ErrorKind::kIo, "cannot stat {}: {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return Fail(ErrorKind::kBadModel, "{} is not a regular file", path.string());
  }
  const auto whole = static_cast<uint64_t>(status.st_size);
  if (offset > whole || (size != UINT64_MAX && size > whole - offset)) {
    return Fail(ErrorKind::kIo, "{} has {} bytes, too few for a window of {} at {}", path.string(),
                whole, size, offset);
  }
  file->size_ = size == UINT64_MAX ? whole - offset : size;
  file->identity_ = IdentityOf(status);
  return std::shared_ptr<const File>(std::move(file));
}

Result<std::shared_ptr<File>> File::Anonymous(const std::string& name, uint64_t size) {
  const int fd = ::memfd_create("plimsoll", MFD_CLOEXEC);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot make an anonymous file: {}", std::strerror(errno));
  }
  return std::shared_ptr<File>(new File(fd, name, name, 0, size));
}

Result<> File::RememberIdentity() {
  struct stat status = {};
  if (::fstat(fd_, &status) != 0) {
    return Fail(ErrorKind::kIo, "cannot stat {}: {}", name_, std::strerror(errno));
  }
  identity_ = IdentityOf(status);
  return {};
}

Result<std::shared_ptr<const File>> File::FromBytes(const std::string& name,
                                                    std::span<const std::byte> bytes) {
  auto file = Anonymous(name, bytes.size());
  if (!file) {
    return Forward(file);
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write((*file)->fd_, bytes.data() + done, bytes.size() - done);
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      return Fail(ErrorKind::kIo, "cannot fill an anonymous file: {}", std::strerror(errno));
    }
  }
  if (auto remembered = (*file)->RememberIdentity(); !remembered) {
    return Forward(remembered);
  }
  return std::shared_ptr<const File>(std::move(*file));
}

Result<std::shared_ptr<const File>> File::Placeholder(const std::string& name, uint64_t size) {
  auto file = Anonymous(name, size);
  if (!file) {
    return Forward(file);
  }
  if (::ftruncate((*file)->fd_, static_cast<off_t>(size)) != 0) {
    return Fail(ErrorKind::kIo, "cannot size an anonymous file: {}", std::strerror(errno));
  }
  if (auto remembered = (*file)->RememberIdentity(); !remembered) {
    return Forward(remembered);
  }
  return std::shared_ptr<const File>(std::move(*file));
}

File::~File() { ::close(fd_); }

Result<> File::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    return Fail(ErrorKind::kIo, "{}: {} bytes at {} are past its end ({} bytes)", name_, out.size(),
                offset, size_);
  }
  size_t done = 0;
  uint32_t n_errors = 0;
  uint32_t n_interruptions = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(fd_, out.data() + done, out.size() - done,
                              static_cast<off_t>(base_ + offset + done));
    if (n == 0) {
      return Fail(ErrorKind::kIo, "{}: ended at byte {}; it was {} bytes long when it was opened",
                  name_, offset + done, size_);
    }
    if (n > 0) {
      done += static_cast<size_t>(n);
      n_errors = 0;
      n_interruptions = 0;
    } else if (IsInterruption(errno) && n_interruptions < kInterruptionsMax) {
      ++n_interruptions;
    } else if (n_errors < kErrorRetries) {
      std::this_thread::sleep_for(ErrorPauseAfter(n_errors++));
    } else {
      return Fail(ErrorKind::kIo, "{}: cannot read at byte {}, also when tried again: {}", name_,
                  offset + done, std::strerror(errno));
    }
  }
  if (const FileChange change = Changed(); change != FileChange::kNone) {
    return tl::unexpected(DescribeChange(change));
  }
  return {};
}

void File::WillNeed(uint64_t offset, uint64_t bytes) const {
  if (offset < size_ && bytes > 0) {
    ::posix_fadvise(fd_, static_cast<off_t>(base_ + offset),
                    static_cast<off_t>(std::min(bytes, size_ - offset)), POSIX_FADV_WILLNEED);
  }
}

File::Identity File::IdentityOf(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .bytes = static_cast<uint64_t>(status.st_size),
          .modified_seconds = status.st_mtim.tv_sec,
          .modified_nanoseconds = status.st_mtim.tv_nsec};
}

FileChange File::Changed() const {
  struct stat status = {};
  if (::fstat(fd_, &status) != 0) {
    return FileChange::kModified;  // a file system that went away
  }
  const Identity now = IdentityOf(status);
  if (now.bytes < base_ + size_) {
    return FileChange::kTruncated;
  }
  const bool same = now.bytes == identity_.bytes &&
                    now.modified_seconds == identity_.modified_seconds &&
                    now.modified_nanoseconds == identity_.modified_nanoseconds;
  return same ? FileChange::kNone : FileChange::kModified;
}

bool File::IsReplaced() const {
  struct stat status = {};
  if (::stat(path_.c_str(), &status) != 0) {
    return true;
  }
  const Identity there = IdentityOf(status);
  return there.device != identity_.device || there.inode != identity_.inode;
}

Result<uint64_t> File::Stamp() const {
  struct stat status = {};
  if (::fstat(fd_, &status) != 0) {
    return Fail(ErrorKind::kIo, "cannot stat {}: {}", name_, std::strerror(errno));
  }
  const std::array<int64_t, 7> facts = {static_cast<int64_t>(status.st_dev),
                                        static_cast<int64_t>(status.st_ino),
                                        status.st_size,
                                        status.st_mtim.tv_sec,
                                        status.st_mtim.tv_nsec,
                                        status.st_ctim.tv_sec,
                                        status.st_ctim.tv_nsec};
  return Checksum64(std::as_bytes(std::span(facts)));
}

Error File::DescribeChange(FileChange change) const {
  const std::string what =
      change == FileChange::kTruncated
          ? fmt::format("was cut short; it had {} bytes when it was opened", identity_.bytes)
          : std::string("was written to since it was opened");
  return {.kind = ErrorKind::kIo,
          .message = fmt::format(
              "{} {}.\nNothing read from it can be trusted any more; load the model again "
              "when the file is whole",
              name_, what),
          .file_changed = true};
}

Result<std::string> ReadWhole(const std::filesystem::path& path, uint64_t limit) {
  auto file = File::Open(path);
  if (!file) {
    return Forward(file);
  }
  if ((*file)->size() > limit) {
    return Fail(ErrorKind::kBadModel, "{} has {} bytes, more than the {} that such a file may have",
                path.string(), (*file)->size(), limit);
  }
  std::string text((*file)->size(), '\0');
  auto read = (*file)->ReadAt(0, std::as_writable_bytes(std::span(text)));
  if (!read) {
    return Forward(read);
  }
  return text;
}

}  // namespace plimsoll::io
