// The files that a backend reads: each open once as it came and, where the file system allows it,
// once more for direct I/O.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace plimsoll::io {

class BackendFiles {
 public:
  // Without `direct` every file is read through the page cache.
  explicit BackendFiles(bool direct) : direct_(direct) {}
  BackendFiles(const BackendFiles&) = delete;
  BackendFiles& operator=(const BackendFiles&) = delete;
  ~BackendFiles();

  // The file stays open as long as this does: its reader holds it. True: direct I/O works.
  [[nodiscard]] Result<bool> Add(const File& file);
  [[nodiscard]] FileChange Changed(uint32_t file) const { return files_[file].file->Changed(); }
  [[nodiscard]] int descriptor(uint32_t file, bool buffered) const {
    const Entry& entry = files_[file];
    return buffered || entry.direct < 0 ? entry.file->descriptor() : entry.direct;
  }
  [[nodiscard]] size_t size() const { return files_.size(); }

 private:
  struct Entry {
    const File* file = nullptr;
    int direct = -1;
  };

  bool direct_;
  std::vector<Entry> files_;
};

}  // namespace plimsoll::io
