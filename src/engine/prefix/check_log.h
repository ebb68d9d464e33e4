// Checks a log of decisions (decision_log.h) by doing the sums again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <istream>

#include "base/result.h"

namespace plimsoll::engine::prefix {

struct LogSummary {
  uint64_t n_nodes = 0;
  uint64_t n_uses = 0;
  uint64_t n_evicted = 0;
  uint64_t bytes_evicted = 0;
};

// kFailed and the first line that is wrong: an eviction of what was held, of an inner node or of
// one that was not the cheapest; an event that cannot follow those before it. A last line without
// its end is left out: the log is being written.
[[nodiscard]] Result<LogSummary> CheckLog(std::istream& log);
// The same of a file; kIo when it cannot be read, kUsage when it is no such log.
[[nodiscard]] Result<LogSummary> CheckLogFile(const std::filesystem::path& path);

}  // namespace plimsoll::engine::prefix
