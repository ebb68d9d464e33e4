#include "io/free_space.h"

#include <system_error>

#include "base/bytes.h"

namespace plimsoll::io {

Result<> CheckFreeSpace(const std::filesystem::path& path, uint64_t bytes) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (!error && space.available < bytes) {
    return Fail(ErrorKind::kIo, "{} needs {}, and {} has {} free", path.string(),
                FormatBytes(bytes), folder.string(), FormatBytes(space.available));
  }
  return {};
}

}  // namespace plimsoll::io
