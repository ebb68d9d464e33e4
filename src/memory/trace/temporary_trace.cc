#include "memory/trace/temporary_trace.h"

#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

namespace plimsoll::memory::trace {

Result<TemporaryTrace> TemporaryTrace::Create(std::string_view owner) {
  std::error_code error;
  const auto folder = std::filesystem::temp_directory_path(error);
  if (error) {
    return Fail(ErrorKind::kIo, "no folder for temporary files: {}", error.message());
  }
  return TemporaryTrace(folder / fmt::format("plimsoll-{}-{}.trace", owner, ::getpid()));
}

TemporaryTrace::~TemporaryTrace() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace plimsoll::memory::trace
