#include "memory/prefault.h"

#include <algorithm>
#include <system_error>

#include <sys/mman.h>

#include "base/bytes.h"

namespace plimsoll::memory {
namespace {

constexpr uint64_t kStop = UINT64_MAX;
// A huge page: what is prepared between two looks at whether to go on.
constexpr uint64_t kStepBytes = 2 * kMiB;

}  // namespace

Prefault::Prefault(std::vector<std::span<std::byte>> ranges, uint64_t ahead_bytes)
    : ranges_(std::move(ranges)), wanted_(ahead_bytes), ahead_bytes_(ahead_bytes) {
  for (const std::span<std::byte> range : ranges_) {
    total_ += range.size();
  }
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    // No thread to be had: the memory is made ready when it is used.
  }
}

Prefault::~Prefault() {
  wanted_.store(kStop);
  wanted_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Prefault::Use(uint64_t bytes) {
  wanted_.store(std::min(bytes + ahead_bytes_, total_));
  wanted_.notify_one();
}

void Prefault::Run() {
  for (const std::span<std::byte> range : ranges_) {
    for (uint64_t at = 0; at < range.size(); at += kStepBytes) {
      uint64_t wanted = wanted_.load();
      while (wanted != kStop && wanted <= ready_.load()) {
        wanted_.wait(wanted);
        wanted = wanted_.load();
      }
      if (wanted == kStop) {
        return;
      }
      const uint64_t bytes = std::min<uint64_t>(kStepBytes, range.size() - at);
      // Unlike writing to it, this leaves what a read has brought there meanwhile.
      if (::madvise(range.data() + at, bytes, MADV_POPULATE_WRITE) != 0) {
        return;
      }
      ready_.fetch_add(bytes);
    }
  }
}

}  // namespace plimsoll::memory
