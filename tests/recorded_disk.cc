#include "tests/recorded_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <utility>

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;
using Kind = DiskCall::Kind;

constexpr uint64_t kSector = 512;

struct Recording {
  std::mutex mutex;
  std::string folder;  // with a slash behind it; empty: nothing is recorded
  std::vector<DiskCall> calls;
  std::map<uint64_t, uint64_t> files;  // by inode
  size_t n_seen = 0;
  size_t first_failing = 0;
  size_t n_failing = 0;
  size_t n_failed = 0;
  int error = 0;
};

// The C library's functions have no other place to look.
Recording& TheRecording() {
  static Recording recording;
  return recording;
}

template <class F>
F* Real(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

// A path below the folder, as seen from there.
std::optional<std::string> NameOf(const Recording& recording, const char* path) {
  if (recording.folder.empty() || !std::string_view(path).starts_with(recording.folder)) {
    return std::nullopt;
  }
  return std::string(path).substr(recording.folder.size());
}

struct stat StatusOf(int fd) {
  struct stat status = {};
  ::fstat(fd, &status);
  return status;
}

bool IsFolder(const Recording& recording, int fd) {
  if (recording.folder.empty() || !S_ISDIR(StatusOf(fd).st_mode)) {
    return false;
  }
  std::error_code error;
  const fs::path path = fs::read_symlink(fs::path("/proc/self/fd") / std::to_string(fd), error);
  return !error && (path.string() + "/").starts_with(recording.folder);
}

std::optional<uint64_t> FileOf(const Recording& recording, int fd) {
  if (recording.folder.empty()) {
    return std::nullopt;
  }
  const auto at = recording.files.find(StatusOf(fd).st_ino);
  return at == recording.files.end() ? std::nullopt : std::optional(at->second);
}

// A file's content is what was on the disk when its last kSync ended.
void LoseUnsynced(const Recording& recording, int fd, uint64_t file) {
  DiskImage image;
  size_t n_kept = 0;
  for (size_t i = 0; i < recording.calls.size(); ++i) {
    if (recording.calls[i].kind == Kind::kSync && recording.calls[i].file == file) {
      n_kept = i;
    }
  }
  for (size_t i = 0; i < n_kept; ++i) {
    if (recording.calls[i].file == file) {
      image.Apply(recording.calls[i]);
    }
  }
  const auto& bytes = image.files[file];
  const int own = Real<int(const char*, int, ...)>("open64")(
      fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_TRUNC);
  static_cast<void>(!Real<ssize_t(int, const void*, size_t, off_t)>("pwrite64")(own, bytes.data(),
                                                                                bytes.size(), 0));
  ::close(own);
}

// Whether the call that is about to be made fails.
bool Fails(Recording& recording) {
  const size_t seen = recording.n_seen++;
  const bool fails =
      seen >= recording.first_failing && seen - recording.first_failing < recording.n_failing;
  if (fails) {
    ++recording.n_failed;
    errno = recording.error;
  }
  return fails;
}

int OpenRecorded(const char* path, int flags, mode_t mode) {
  static auto* const kReal = Real<int(const char*, int, ...)>("open64");
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  const auto name = NameOf(recording, path);
  const bool is_new = name && (flags & O_CREAT) != 0 && ::access(path, F_OK) != 0;
  if (is_new && Fails(recording)) {
    return -1;
  }
  const int fd = kReal(path, flags, mode);
  if (fd >= 0 && is_new) {
    const uint64_t file = recording.calls.size() + 1;
    recording.files[StatusOf(fd).st_ino] = file;
    recording.calls.push_back({.kind = Kind::kCreate, .file = file, .name = *name});
  } else if (const auto file = FileOf(recording, fd); file && (flags & O_TRUNC) != 0) {
    recording.calls.push_back({.kind = Kind::kTruncate, .file = *file});
  }
  return fd;
}

ssize_t WriteRecorded(int fd, const void* bytes, size_t n, std::optional<off_t> offset) {
  static auto* const kPwrite = Real<ssize_t(int, const void*, size_t, off_t)>("pwrite64");
  static auto* const kWrite = Real<ssize_t(int, const void*, size_t)>("write");
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  const auto file = FileOf(recording, fd);
  if (file && Fails(recording)) {
    return -1;
  }
  const off_t at = offset ? *offset : file ? ::lseek(fd, 0, SEEK_CUR) : 0;
  const ssize_t written = offset ? kPwrite(fd, bytes, n, at) : kWrite(fd, bytes, n);
  if (file && written > 0) {
    const auto* const first = static_cast<const std::byte*>(bytes);
    recording.calls.push_back({.kind = Kind::kWrite,
                               .file = *file,
                               .offset = static_cast<uint64_t>(at),
                               .bytes = {first, first + written}});
  }
  return written;
}

int SyncRecorded(int fd, const char* function) {
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  const auto file = FileOf(recording, fd);
  const bool is_folder = IsFolder(recording, fd);
  if ((file || is_folder) && Fails(recording)) {
    if (file) {
      LoseUnsynced(recording, fd, *file);
      errno = recording.error;
    }
    return -1;
  }
  if (file) {
    recording.calls.push_back({.kind = Kind::kSync, .file = *file});
    return 0;  // what the recording says of the disk, it need not do
  }
  if (is_folder) {
    recording.calls.push_back({.kind = Kind::kSyncFolder});
    return 0;
  }
  return Real<int(int)>(function)(fd);
}

int TruncateRecorded(int fd, off_t length) {
  static auto* const kReal = Real<int(int, off_t)>("ftruncate64");
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  const auto file = FileOf(recording, fd);
  if (file && Fails(recording)) {
    return -1;
  }
  const int outcome = kReal(fd, length);
  if (file && outcome == 0) {
    recording.calls.push_back(
        {.kind = Kind::kTruncate, .file = *file, .offset = static_cast<uint64_t>(length)});
  }
  return outcome;
}

int RemoveRecorded(const char* path, const char* function) {
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  const auto name = NameOf(recording, path);
  if (name && Fails(recording)) {
    return -1;
  }
  const int outcome = Real<int(const char*)>(function)(path);
  if (name && outcome == 0) {
    recording.calls.push_back({.kind = Kind::kRemove, .name = *name});
  }
  return outcome;
}

int RenameRecorded(const char* from, const char* to) {
  static auto* const kReal = Real<int(const char*, const char*)>("rename");
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  const auto name = NameOf(recording, from);
  const auto new_name = NameOf(recording, to);
  const bool is_recorded = name && new_name;
  if (is_recorded && Fails(recording)) {
    return -1;
  }
  const int outcome = kReal(from, to);
  if (is_recorded && outcome == 0) {
    recording.calls.push_back({.kind = Kind::kRename, .name = *name, .new_name = *new_name});
  }
  return outcome;
}

bool IsOfNames(const DiskCall& call) {
  return call.kind == Kind::kCreate || call.kind == Kind::kRename || call.kind == Kind::kRemove;
}

// Random choices of one state.
class Choices {
 public:
  explicit Choices(uint64_t draw) : draw_(draw) {}
  [[nodiscard]] double Next() { return UniformAt(17, n_++, draw_); }

 private:
  uint64_t draw_;
  uint64_t n_ = 0;
};

// Some of the sectors of a write.
void ApplySectors(DiskImage& image, const DiskCall& call, Choices& choices) {
  for (uint64_t at = 0; at < call.bytes.size(); at += kSector) {
    if (choices.Next() < 0.5) {
      const auto first = call.bytes.begin() + static_cast<std::ptrdiff_t>(at);
      const uint64_t n = std::min<uint64_t>(kSector, call.bytes.size() - at);
      image.Apply({.kind = Kind::kWrite,
                   .file = call.file,
                   .offset = call.offset + at,
                   .bytes = {first, first + static_cast<std::ptrdiff_t>(n)}});
    }
  }
}

}  // namespace

void DiskImage::Apply(const DiskCall& call) {
  switch (call.kind) {
    case Kind::kCreate:
      names[call.name] = call.file;
      files.try_emplace(call.file);
      break;
    case Kind::kWrite: {
      auto& bytes = files[call.file];
      bytes.resize(std::max<size_t>(bytes.size(), call.offset + call.bytes.size()));
      std::ranges::copy(call.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(call.offset));
      break;
    }
    case Kind::kTruncate:
      files[call.file].resize(call.offset);
      break;
    case Kind::kRename:
      if (const auto at = names.find(call.name); at != names.end()) {
        const uint64_t file = at->second;
        names.erase(at);
        names[call.new_name] = file;
      }
      break;
    case Kind::kRemove:
      names.erase(call.name);
      break;
    case Kind::kSync:
    case Kind::kSyncFolder:
      break;
  }
}

void DiskImage::WriteTo(const fs::path& folder) const {
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const auto& [name, file] : names) {
    fs::create_directories((folder / name).parent_path());
    fs::permissions((folder / name).parent_path(), fs::perms::owner_all);
    const auto& bytes = files.at(file);
    std::ofstream(folder / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
}

DiskImage AfterKill(const std::vector<DiskCall>& calls, size_t n) {
  DiskImage image;
  std::for_each_n(calls.begin(), n, [&](const DiskCall& call) { image.Apply(call); });
  return image;
}

DiskImage AfterPowerLoss(const std::vector<DiskCall>& calls, size_t n, uint64_t draw) {
  size_t names_synced = 0;  // calls before this one
  std::map<uint64_t, size_t> synced;
  size_t n_names = 0;  // that are in doubt
  for (size_t i = 0; i < n; ++i) {
    if (calls[i].kind == Kind::kSync) {
      synced[calls[i].file] = i;
    } else if (calls[i].kind == Kind::kSyncFolder) {
      names_synced = i;
      n_names = 0;
    }
    n_names += IsOfNames(calls[i]) ? 1U : 0U;
  }
  Choices choices(draw);
  const double survives = choices.Next();
  auto names_kept = static_cast<size_t>(choices.Next() * static_cast<double>(n_names + 1));
  DiskImage image;
  for (size_t i = 0; i < n; ++i) {
    const DiskCall& call = calls[i];
    if (IsOfNames(call)) {
      if (i < names_synced || names_kept > 0) {
        names_kept -= i < names_synced ? 0U : 1U;
        image.Apply(call);
      } else if (call.kind == Kind::kCreate) {
        image.files.try_emplace(call.file);
      }
    } else if (i < synced[call.file]) {
      image.Apply(call);
    } else if (choices.Next() < survives) {
      if (call.kind == Kind::kWrite && choices.Next() < 0.3) {
        ApplySectors(image, call, choices);
      } else {
        image.Apply(call);
      }
    }
  }
  return image;
}

RecordedDisk::RecordedDisk(const fs::path& folder) {
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  recording.folder = folder.string() + "/";
}

RecordedDisk::~RecordedDisk() {
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  recording.folder.clear();
  recording.calls.clear();
  recording.files.clear();
  recording.n_failing = 0;
  recording.n_failed = 0;
  recording.n_seen = 0;
}

size_t RecordedDisk::n_calls() const {
  const std::lock_guard lock(TheRecording().mutex);
  return TheRecording().calls.size();
}

std::vector<DiskCall> RecordedDisk::calls() const {
  const std::lock_guard lock(TheRecording().mutex);
  return TheRecording().calls;
}

void RecordedDisk::Fail(size_t first, size_t n, int error) {
  Recording& recording = TheRecording();
  const std::lock_guard lock(recording.mutex);
  recording.n_seen = 0;
  recording.first_failing = first;
  recording.n_failing = n;
  recording.n_failed = 0;
  recording.error = error;
}

size_t RecordedDisk::n_seen() const {
  const std::lock_guard lock(TheRecording().mutex);
  return TheRecording().n_seen;
}

size_t RecordedDisk::n_failed() const {
  const std::lock_guard lock(TheRecording().mutex);
  return TheRecording().n_failed;
}

}  // namespace plimsoll

// The C library's own functions, by both of their names.
extern "C" {

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return plimsoll::OpenRecorded(path, flags, mode);
}
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return plimsoll::OpenRecorded(path, flags, mode);
}
ssize_t write(int fd, const void* bytes, size_t n) {
  return plimsoll::WriteRecorded(fd, bytes, n, std::nullopt);
}
ssize_t pwrite(int fd, const void* bytes, size_t n, off_t offset) {
  return plimsoll::WriteRecorded(fd, bytes, n, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t n, off64_t offset) {
  return plimsoll::WriteRecorded(fd, bytes, n, offset);
}
int fsync(int fd) { return plimsoll::SyncRecorded(fd, "fsync"); }
int fdatasync(int fd) { return plimsoll::SyncRecorded(fd, "fdatasync"); }
int ftruncate(int fd, off_t length) noexcept { return plimsoll::TruncateRecorded(fd, length); }
int ftruncate64(int fd, off64_t length) noexcept { return plimsoll::TruncateRecorded(fd, length); }
int unlink(const char* path) noexcept { return plimsoll::RemoveRecorded(path, "unlink"); }
int remove(const char* path) noexcept { return plimsoll::RemoveRecorded(path, "remove"); }
int rename(const char* from, const char* to) noexcept { return plimsoll::RenameRecorded(from, to); }

}  // extern "C"
