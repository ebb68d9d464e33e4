#include "cli/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "base/bytes.h"

namespace plimsoll::cli {
namespace {

constexpr double kBarInterval = 0.1;
constexpr double kLineInterval = 10;
constexpr size_t kBarWidth = 24;

// "; 12 s left", once a second has passed: before, nothing can be said.
std::string TimeLeft(double share, double elapsed) {
  if (elapsed < 1 || share <= 0 || share >= 1) {
    return {};
  }
  const int64_t seconds = std::llround(elapsed / share * (1 - share));
  return seconds < 120 ? fmt::format("; {} s left", seconds)
                       : fmt::format("; {} min left", (seconds + 30) / 60);
}

}  // namespace

double SecondsNow() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

std::string Progress::Update(uint64_t bytes_done, uint64_t bytes_total, double seconds) {
  if (started_ < 0) {
    started_ = seconds;
    written_ = seconds;
  }
  const bool first_bar = is_terminal_ && !shown_;
  const bool last_of_shown = bytes_done >= bytes_total && shown_;
  const double interval = is_terminal_ ? kBarInterval : kLineInterval;
  if (seconds - written_ < interval && !first_bar && !last_of_shown) {
    return {};
  }
  written_ = seconds;
  shown_ = true;
  const double share =
      bytes_total == 0
          ? 1.0
          : std::min(1.0, static_cast<double>(bytes_done) / static_cast<double>(bytes_total));
  const double elapsed = seconds - started_;
  const auto rate =
      elapsed > 0 ? static_cast<uint64_t>(static_cast<double>(bytes_done) / elapsed) : 0;
  const std::string amounts =
      fmt::format("{:3.0f} %  {} of {}, {}/s{}", share * 100, FormatBytes(bytes_done),
                  FormatBytes(bytes_total), FormatBytes(rate), TimeLeft(share, elapsed));
  if (!is_terminal_) {
    return fmt::format("{} {}: {}\n", verb_, name_, amounts);
  }
  const auto filled = static_cast<size_t>(share * kBarWidth);
  return fmt::format("\r\x1b[K{} {} [{}{}] {}", verb_, name_, std::string(filled, '#'),
                     std::string(kBarWidth - filled, '.'), amounts);
}

std::string Progress::Clear() const { return is_terminal_ && shown_ ? "\r\x1b[K" : ""; }

}  // namespace plimsoll::cli
