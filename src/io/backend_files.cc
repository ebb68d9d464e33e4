#include "io/backend_files.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace plimsoll::io {

BackendFiles::~BackendFiles() {
  for (const Entry& entry : files_) {
    if (entry.direct >= 0) {
      ::close(entry.direct);
    }
  }
}

Result<bool> BackendFiles::Add(const File& file) {
  Entry entry{.file = &file};
  if (direct_) {
    // By the descriptor and not by the path, which may lead to another file by now.
    const std::string path = "/proc/self/fd/" + std::to_string(file.descriptor());
    entry.direct = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (entry.direct < 0 && (errno == EMFILE || errno == ENFILE)) {
      return Fail(ErrorKind::kIo,
                  "cannot open {} for direct reads: {}. Raise the limit (ulimit -n)", file.name(),
                  std::strerror(errno));
    }
  }
  files_.push_back(entry);
  return entry.direct >= 0;
}

}  // namespace plimsoll::io
