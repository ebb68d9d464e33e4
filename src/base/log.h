// Messages to the operator, on standard error. Text that the program was asked for never goes here.
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace plimsoll {

enum class LogLevel { kQuiet, kWarning, kInfo, kDebug };

// Writes log lines. Thread-safe: a line is one write. Passed to what needs it; there is no global.
class Log {
 public:
  explicit Log(LogLevel level) : level_(level) {}

  [[nodiscard]] LogLevel level() const { return level_; }

  template <class... Args>
  void Warn(fmt::format_string<Args...> format, Args&&... args) const {
    Write(LogLevel::kWarning, "warning: ", fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void Info(fmt::format_string<Args...> format, Args&&... args) const {
    Write(LogLevel::kInfo, "", fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void Debug(fmt::format_string<Args...> format, Args&&... args) const {
    Write(LogLevel::kDebug, "debug: ", fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  void Write(LogLevel level, std::string_view prefix, std::string_view message) const;

  LogLevel level_;
};

}  // namespace plimsoll
