// Read access to files, with every read bounded by the size seen when the file was opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include <sys/stat.h>

#include "base/result.h"

namespace plimsoll::io {

// What became of a file since it was opened.
enum class FileChange : uint8_t {
  kNone,
  kTruncated,  // bytes that were there are not
  kModified,   // written to: its length or time of modification is another
};

// A regular file, or a window of one (a model embedded in the executable). Immutable and
// thread-safe once open; closes itself.
class File {
 public:
  // kIo when it cannot be opened, kBadModel when it is no regular file.
  [[nodiscard]] static Result<std::shared_ptr<const File>> Open(const std::filesystem::path& path);
  // Offset 0 of the result is byte `offset` of the file. Messages call it `name`, or by its file's
  // name when that is empty.
  [[nodiscard]] static Result<std::shared_ptr<const File>> OpenWindow(
      const std::filesystem::path& path, uint64_t offset, uint64_t size, std::string name = {});
  // An anonymous file that holds `bytes`, for tests and fuzzers.
  [[nodiscard]] static Result<std::shared_ptr<const File>> FromBytes(
      const std::string& name, std::span<const std::byte> bytes);

  // A file of `size` zeros that takes no memory: for simulations, which make its bytes up.
  [[nodiscard]] static Result<std::shared_ptr<const File>> Placeholder(const std::string& name,
                                                                       uint64_t size);

  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  [[nodiscard]] const std::string& name() const { return name_; }  // for messages
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] uint64_t size() const { return size_; }

  // Fills `out` from `offset` with what the file held when it was opened. Goes on after short and
  // interrupted reads and tries errors again (read_retries.h), waiting meanwhile. kIo when they
  // stay, and when the file was cut short or written to.
  [[nodiscard]] Result<> ReadAt(uint64_t offset, std::span<std::byte> out) const;

  // Lets the system begin to read a range that will be asked for soon. Never an error: what is past
  // the end, or cannot be read, is found out by ReadAt.
  void WillNeed(uint64_t offset, uint64_t bytes) const;

  // What was read before a call that says kNone is what the file held when it was opened, as far
  // as its length and its time of modification tell (docs/io.md). One fstat: well under a
  // microsecond.
  [[nodiscard]] FileChange Changed() const;
  // The path leads to another file now, or to none; this one is still open, and whole.
  [[nodiscard]] bool IsReplaced() const;
  // A number that stays the same, over runs too, while the file is the same and nobody writes to it
  // or changes its status: of what stat says now, its time of status change among it.
  [[nodiscard]] Result<uint64_t> Stamp() const;
  // kIo, naming the file, what happened and what to do; `change` is not kNone.
  [[nodiscard]] Error DescribeChange(FileChange change) const;

  // For those who read by themselves: byte `offset` of this File is at window_begin() + offset of
  // the descriptor, which stays this object's.
  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] uint64_t window_begin() const { return base_; }

 private:
  // What fstat said when it was opened.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t bytes = 0;  // of the whole file
    int64_t modified_seconds = 0;
    int64_t modified_nanoseconds = 0;
  };

  File(int fd, std::filesystem::path path, std::string name, uint64_t base, uint64_t size)
      : fd_(fd), path_(std::move(path)), name_(std::move(name)), base_(base), size_(size) {}

  [[nodiscard]] static Result<std::shared_ptr<File>> Anonymous(const std::string& name,
                                                               uint64_t size);
  [[nodiscard]] Result<> RememberIdentity();
  [[nodiscard]] static Identity IdentityOf(const struct stat& status);

  int fd_;
  std::filesystem::path path_;
  std::string name_;
  uint64_t base_;
  uint64_t size_;
  Identity identity_;
};

// The whole of a small file as text; kBadModel when it is larger than `limit`.
[[nodiscard]] Result<std::string> ReadWhole(const std::filesystem::path& path, uint64_t limit);

}  // namespace plimsoll::io
