#include "io/read_trouble.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "io/aligned_range.h"
#include "io/direct_file.h"

namespace plimsoll::io {
namespace {

bool CanBeRead(const File& file, uint64_t offset) {
  if (file.Changed() != FileChange::kNone || offset >= file.size()) {
    return false;
  }
  alignas(kIoAlignment) std::array<std::byte, kIoAlignment> block;
  const auto direct = DirectFile::OpenForReading(file);
  if (!direct) {  // there is no /proc, or no right to open the file anew
    return file.ReadAt(offset, std::span(block).first(1)).has_value();
  }
  const uint64_t begin = (file.window_begin() + offset) / kIoAlignment * kIoAlignment;
  const uint64_t end = file.window_begin() + file.size();
  return direct->ReadAt(begin, std::span(block).first(std::min(kIoAlignment, end - begin)))
      .has_value();
}

}  // namespace

std::string DescribeOverdue(std::chrono::seconds time) {
  return fmt::format("the disk has not answered for {} seconds", time.count());
}

ReadTrouble::~ReadTrouble() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void ReadTrouble::Report(std::shared_ptr<const File> file, uint64_t offset, std::string what) {
  const std::lock_guard lock(mutex_);
  place_ = {.file = std::move(file), .offset = offset, .what = std::move(what)};
  ++n_reports_;
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { ReadAgain(); });
    } catch (const std::system_error&) {
      // The system has no thread to give: the next report tries again.
    }
  }
  ends_.notify_one();
}

Result<> ReadTrouble::ReadAt(const std::shared_ptr<const File>& file, uint64_t offset,
                             std::span<std::byte> out) {
  {
    const std::lock_guard lock(mutex_);
    reading_since_ = std::chrono::steady_clock::now();
  }
  auto read = file->ReadAt(offset, out);
  {
    const std::lock_guard lock(mutex_);
    reading_since_.reset();
  }
  if (!read) {
    Report(file, offset, read.error().message);
  }
  return read;
}

std::optional<std::string> ReadTrouble::Now() const {
  const std::lock_guard lock(mutex_);
  if (place_) {
    return place_->what;
  }
  if (reading_since_ && std::chrono::steady_clock::now() - *reading_since_ > kReadOverdue) {
    return DescribeOverdue(kReadOverdue);
  }
  return std::nullopt;
}

void ReadTrouble::ReadAgain() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ends_.wait(lock, [this] { return ending_ || place_.has_value(); });
    // What has just failed is given time, and so is the disk.
    ends_.wait_for(lock, pause_, [this] { return ending_; });
    if (ending_) {
      return;
    }
    const std::shared_ptr<const File> file = place_->file;
    const uint64_t offset = place_->offset;
    const uint64_t n_reports = n_reports_;
    lock.unlock();
    const bool can_be_read = CanBeRead(*file, offset);
    lock.lock();
    if (can_be_read && n_reports == n_reports_) {
      place_.reset();
    }
  }
}

}  // namespace plimsoll::io
