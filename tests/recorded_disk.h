// What the process does to the files below a folder, call by call: to know what a disk may hold
// after the process was killed or the power failed at any moment, and to let any call fail.
//
// Works for every library of the process that writes through the C library, by functions of the
// same names (recorded_disk.cc). Folders themselves count as made and on the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace plimsoll {

struct DiskCall {
  enum class Kind : uint8_t { kCreate, kWrite, kTruncate, kSync, kSyncFolder, kRename, kRemove };
  Kind kind = Kind::kCreate;
  uint64_t file = 0;             // not of kSyncFolder and kRemove
  std::string name;              // below the folder: kCreate, kRename, kRemove
  std::string new_name;          // kRename
  uint64_t offset = 0;           // kWrite; of kTruncate the length
  std::vector<std::byte> bytes;  // kWrite
};

// Names, and what is in the files.
struct DiskImage {
  std::map<std::string, uint64_t> names;
  std::map<uint64_t, std::vector<std::byte>> files;

  void Apply(const DiskCall& call);
  // Makes the folder hold this and nothing else.
  void WriteTo(const std::filesystem::path& folder) const;
};

// After a kill: the first n calls happened.
[[nodiscard]] DiskImage AfterKill(const std::vector<DiskCall>& calls, size_t n);
// After a loss of power: what was forced to the disk by then is there. Of the rest of the first n
// calls, some: of names the first ones, of writes any, in sectors of 512 bytes. `draw` chooses.
[[nodiscard]] DiskImage AfterPowerLoss(const std::vector<DiskCall>& calls, size_t n, uint64_t draw);

// Records while it lives; one at a time. Its own calls are thread-safe.
class RecordedDisk {
 public:
  explicit RecordedDisk(const std::filesystem::path& folder);
  RecordedDisk(const RecordedDisk&) = delete;
  RecordedDisk& operator=(const RecordedDisk&) = delete;
  ~RecordedDisk();

  [[nodiscard]] size_t n_calls() const;
  [[nodiscard]] std::vector<DiskCall> calls() const;
  // Calls first, first + 1, ... first + n - 1 of those from now on do nothing and fail with this
  // errno. Of a file whose kSync fails, what was not on the disk is lost, as the system loses it.
  void Fail(size_t first, size_t n, int error);
  // Calls seen since Fail, and those of them that failed.
  [[nodiscard]] size_t n_seen() const;
  [[nodiscard]] size_t n_failed() const;
};

}  // namespace plimsoll
