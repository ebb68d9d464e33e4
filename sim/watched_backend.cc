#include "sim/watched_backend.h"

#include <algorithm>
#include <cstring>

namespace plimsoll::sim {
namespace {

constexpr int kPoison = 0xDB;

bool Overlap(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.data() < b.data() + b.size() && b.data() < a.data() + a.size();
}

std::span<const std::byte> Target(const io::BackendRead& read) { return {read.to, read.bytes}; }

}  // namespace

bool Protected::Touches(std::span<const std::byte> memory) const {
  return std::ranges::any_of(ranges_, [&](const auto& range) { return Overlap(range, memory); });
}

WatchedBackend::~WatchedBackend() {
  findings_.Expect(under_way_.empty(), "the backend goes while {} reads are under way",
                   under_way_.size());
}

void WatchedBackend::Queue(const io::BackendRead& read) {
  ++n_reads_;
  findings_.Note("    read {} of {} bytes at {}", n_reads_, read.bytes, read.offset);
  findings_.Expect(!in_use_.Touches(Target(read)),
                   "a read of {} bytes at {} goes into a frame that is in use", read.bytes,
                   read.offset);
  for (const io::BackendRead& other : under_way_) {
    findings_.Expect(!Overlap(Target(read), Target(other)),
                     "reads at {} and {} go into the same frame", other.offset, read.offset);
    const bool same_place = other.file == read.file && other.offset < read.offset + read.bytes &&
                            read.offset < other.offset + other.bytes;
    findings_.Expect(!places_differ_ || !same_place, "the page at {} is being read twice",
                     read.offset);
  }
  under_way_.push_back(read);
  // Bytes that were there before must not pass for those that are to come.
  std::memset(read.to, kPoison, read.bytes);
  inner_->Queue(read);
}

size_t WatchedBackend::Reap(std::span<io::BackendResult> results, std::chrono::nanoseconds wait) {
  const size_t n = inner_->Reap(results, wait);
  for (const io::BackendResult& result : results.first(n)) {
    findings_.Note("    result {} of read with id {}", result.result, result.id);
    const size_t erased = std::erase_if(
        under_way_, [&](const io::BackendRead& read) { return read.id == result.id; });
    findings_.Expect(erased == 1, "a result without a read");
  }
  return n;
}

void WatchedBackend::CheckInUse() const {
  for (const io::BackendRead& read : under_way_) {
    findings_.Expect(!in_use_.Touches(Target(read)),
                     "a frame is given out while the read at {} goes into it", read.offset);
  }
}

}  // namespace plimsoll::sim
