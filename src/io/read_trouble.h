// Whether a place that could not be read can be read by now.
//
// A place that failed for good is read again, past the page cache and on a thread of its own, until
// that succeeds: those who watch a server learn when the trouble is over without a request being
// spent on it. While all is well nothing is read.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "base/result.h"
#include "io/file.h"

namespace plimsoll::io {

// When no read has ended for so long, something is wrong.
inline constexpr std::chrono::seconds kReadOverdue{3};
[[nodiscard]] std::string DescribeOverdue(std::chrono::seconds time);

// Thread-safe.
class ReadTrouble {
 public:
  explicit ReadTrouble(std::chrono::milliseconds pause = std::chrono::milliseconds(500))
      : pause_(pause) {}
  ReadTrouble(const ReadTrouble&) = delete;
  ReadTrouble& operator=(const ReadTrouble&) = delete;
  // Waits for the read under way.
  ~ReadTrouble();

  // Byte `offset` of the file cannot be read, `what` says why. The last place to be reported is the
  // one that is read again.
  void Report(std::shared_ptr<const File> file, uint64_t offset, std::string what);
  // As File::ReadAt, of a caller that waits; reports what fails. One at a time.
  [[nodiscard]] Result<> ReadAt(const std::shared_ptr<const File>& file, uint64_t offset,
                                std::span<std::byte> out);
  // What was reported last, until the place can be read, and the file is what it was; else that a
  // ReadAt is overdue.
  [[nodiscard]] std::optional<std::string> Now() const;

 private:
  struct Place {
    std::shared_ptr<const File> file;
    uint64_t offset = 0;
    std::string what;
  };

  void ReadAgain();

  const std::chrono::milliseconds pause_;
  mutable std::mutex mutex_;
  std::condition_variable ends_;
  std::optional<Place> place_;
  std::optional<std::chrono::steady_clock::time_point> reading_since_;
  uint64_t n_reports_ = 0;
  bool ending_ = false;
  std::thread thread_;  // from the first report on
};

}  // namespace plimsoll::io
