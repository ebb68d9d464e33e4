#include "base/log.h"

#include <cstdio>
#include <string>

namespace plimsoll {

void Log::Write(LogLevel level, std::string_view prefix, std::string_view message) const {
  if (level > level_) {
    return;
  }
  const std::string line = fmt::format("{}{}\n", prefix, message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace plimsoll
