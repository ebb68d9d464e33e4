#include "server/http/access_log.h"

#include <array>
#include <cmath>
#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "base/json_text.h"

namespace plimsoll::server::http {
namespace {

constexpr size_t kMaxLines = 4096;

// "2026-11-21T19:24:52.123Z"
std::string Timestamp(double unix_seconds) {
  const auto seconds = static_cast<std::time_t>(std::floor(unix_seconds));
  std::tm utc = {};
  ::gmtime_r(&seconds, &utc);
  const auto milliseconds = static_cast<int>((unix_seconds - static_cast<double>(seconds)) * 1000);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     milliseconds);
}

}  // namespace

std::string FormatLogEntry(const LogEntry& entry, LogFormat format) {
  if (format == LogFormat::kText) {
    return fmt::format("{} {} {} {} {} {} B {:.1f} ms {}{}\n", Timestamp(entry.unix_seconds),
                       entry.peer, entry.method, entry.route, entry.status, entry.bytes,
                       entry.milliseconds, entry.request_id, entry.complete ? "" : " cut");
  }
  JsonText json;
  json.BeginObject().Key("time").String(Timestamp(entry.unix_seconds));
  json.Key("event").String("request").Key("request_id").String(entry.request_id);
  json.Key("method").String(entry.method).Key("path").String(entry.route);
  json.Key("status").Number(entry.status).Key("bytes").Number(entry.bytes);
  json.Key("milliseconds").Number(std::round(entry.milliseconds * 10) / 10);
  json.Key("peer").String(entry.peer).Key("complete").Bool(entry.complete).EndObject();
  return json.text() + "\n";
}

AccessLog::AccessLog(LogFormat format, WriteFn write) : format_(format), write_(std::move(write)) {
  if (format_ != LogFormat::kNone) {
    thread_ = std::thread([this] { Run(); });
  }
}

AccessLog::~AccessLog() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  has_work_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void AccessLog::Add(const LogEntry& entry) {
  if (format_ == LogFormat::kNone) {
    return;
  }
  std::string line = FormatLogEntry(entry, format_);
  {
    const std::scoped_lock lock(mutex_);
    if (lines_.size() >= kMaxLines) {
      ++n_dropped_;
      return;
    }
    lines_.push_back(std::move(line));
  }
  has_work_.notify_one();
}

void AccessLog::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    has_work_.wait(lock, [this] { return stopping_ || !lines_.empty(); });
    if (lines_.empty()) {
      return;
    }
    std::string text;
    for (const std::string& line : std::exchange(lines_, {})) {
      text += line;
    }
    if (const uint64_t n_dropped = std::exchange(n_dropped_, 0); n_dropped > 0) {
      text += format_ == LogFormat::kJson
                  ? fmt::format("{{\"event\":\"log_lines_dropped\",\"count\":{}}}\n", n_dropped)
                  : fmt::format("{} lines of the log were dropped\n", n_dropped);
    }
    lock.unlock();
    write_(text);
    lock.lock();
  }
}

}  // namespace plimsoll::server::http
