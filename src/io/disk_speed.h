// How fast a device gives pages of a file, measured by reading some.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/file.h"
#include "io/reader.h"

namespace plimsoll::io {

struct DiskSpeed {
  struct Cell {
    uint64_t page_bytes = 0;
    uint32_t depth = 0;  // pages under way
    double bytes_per_second = 0;
  };

  bool direct = false;
  std::vector<Cell> cells;  // by page size, then by depth
  // Over a longer time: rented disks give more than that for a second or two, and then hold back.
  double sustained = 0;

  // Of pages of any size at any depth: between the measured ones by the logarithm of both, outside
  // them as at the nearest; never more than `sustained`. 0 when nothing was measured.
  [[nodiscard]] double BytesPerSecond(uint64_t page_bytes, uint32_t depth) const;
  // The same device on a better day: it gave so much just now, of such pages at such a depth.
  // Nothing happens if that is no more than is known already.
  void RaiseTo(double bytes_per_second, uint64_t page_bytes, uint32_t depth);
  // The best of all cells: what the device can give for a moment.
  [[nodiscard]] double Peak() const;
};

struct DiskSpeedOptions {
  std::vector<uint64_t> page_bytes = {64 << 10, 256 << 10, 1 << 20, 4 << 20};
  std::vector<uint32_t> depths = {1, 4, 16, 64};
  std::chrono::milliseconds time_a_cell{60};
  std::chrono::milliseconds time_sustained{1500};
  uint64_t memory_bytes = 32 << 20;  // a cell whose pages under way would need more is left out
  BackendOptions backend;
  bool anew = false;                   // whatever is remembered
  uint64_t scratch_bytes = 256 << 20;  // where there is no file to measure with
};

// Reads pages of the file in an order that no read-ahead guesses, and each as seldom as the file's
// length allows: a virtual disk may remember what it was asked for. kIo when a read fails, kFailed
// when the file is shorter than the smallest page.
[[nodiscard]] Result<DiskSpeed> MeasureDisk(const std::shared_ptr<const File>& file,
                                            const DiskSpeedOptions& options);

// Measures as MeasureDisk what was not measured within 30 days on this machine and device, and
// remembers it in the cache folder (measurement_cache.h).
[[nodiscard]] Result<DiskSpeed> CachedDiskSpeed(const std::shared_ptr<const File>& file,
                                                const DiskSpeedOptions& options);

// What CachedDiskSpeed would give without measuring.
[[nodiscard]] std::optional<DiskSpeed> KnownDiskSpeed(const File& file);

// CachedDiskSpeed for the device that a folder is on: what is known of it, or measured on a file of
// scratch_bytes that is written there and removed again. kIo when it cannot be written.
[[nodiscard]] Result<DiskSpeed> CachedFolderSpeed(const std::filesystem::path& folder,
                                                  const DiskSpeedOptions& options);

}  // namespace plimsoll::io
