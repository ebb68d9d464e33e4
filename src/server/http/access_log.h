// One line on standard error for each request: who asked for which route, and how it went.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace plimsoll::server::http {

enum class LogFormat { kNone, kText, kJson };

// Holds nothing that a client sent but its request id (of harmless characters): no path, no query,
// no text.
struct LogEntry {
  double unix_seconds = 0;
  std::string request_id;
  std::string method;  // "?": none of those that routes have
  std::string route;   // the pattern; "-": none
  unsigned status = 0;
  uint64_t bytes = 0;  // of the response's body
  double milliseconds = 0;
  std::string peer;
  bool complete = true;  // false: the client was gone, or was cut off
};

[[nodiscard]] std::string FormatLogEntry(const LogEntry& entry, LogFormat format);

// Thread-safe. A thread of its own writes, so that nobody waits for whoever reads the log; lines
// that it cannot keep up with are dropped, and counted in a line of their own.
class AccessLog {
 public:
  using WriteFn = std::function<void(std::string_view lines)>;

  AccessLog(LogFormat format, WriteFn write);
  ~AccessLog();  // writes what there is
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void Add(const LogEntry& entry);

 private:
  void Run();

  LogFormat format_;
  WriteFn write_;
  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::string> lines_;
  uint64_t n_dropped_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace plimsoll::server::http
