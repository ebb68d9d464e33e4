#include "io/fake_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "base/rng.h"

namespace plimsoll::io {
namespace {

using std::chrono::nanoseconds;

// The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): one word of a file.
uint64_t Word(uint32_t file, uint64_t index) {
  uint64_t z = (index + 1) * 0x9E3779B97F4A7C15U + file * 0xD1B54A32D192ED03U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace

void FakeBytes(uint32_t file, uint64_t offset, std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t word = Word(file, (offset + done) / sizeof(word));
    const size_t from = (offset + done) % sizeof(word);
    const size_t n = std::min(sizeof(word) - from, out.size() - done);
    std::memcpy(out.data() + done, reinterpret_cast<const char*>(&word) + from, n);
    done += n;
  }
}

FakeDisk::FakeDisk(const FakeDiskOptions& options, VirtualClock& clock)
    : options_(options), clock_(clock) {
  queued_.reserve(options.depth);
  under_way_.reserve(options.depth);
}

Result<bool> FakeDisk::AddFile(const File& file) {
  files_.push_back({.file = &file, .bytes = file.window_begin() + file.size()});
  return true;
}

void FakeDisk::Begin() {
  for (const BackendRead& read : queued_) {
    nanoseconds ready = clock_.now() + options_.latency;
    begun_.bytes += read.bytes;
    if (UniformAt(options_.seed, begun_.n_reads++) < options_.slow_share) {
      ready += options_.slow_extra;
      ++begun_.n_slow;
    }
    const nanoseconds transfer(static_cast<int64_t>(read.bytes * 1e9 / options_.bytes_per_second));
    free_at_ = std::max(ready, free_at_) + transfer;
    under_way_.push_back({read, free_at_});
  }
  queued_.clear();
}

BackendResult FakeDisk::Carry(const BackendRead& read) const {
  const OpenFile& file = files_[read.file];
  const uint64_t bytes =
      std::min<uint64_t>(read.bytes, file.bytes - std::min(file.bytes, read.offset));
  if (options_.made_up) {
    FakeBytes(read.file, read.offset, {read.to, bytes});
    return {.id = read.id, .result = static_cast<int32_t>(bytes)};
  }
  const ssize_t n =
      ::pread(file.file->descriptor(), read.to, bytes, static_cast<off_t>(read.offset));
  return {.id = read.id, .result = static_cast<int32_t>(n >= 0 ? n : -errno)};
}

size_t FakeDisk::Reap(std::span<BackendResult> results, nanoseconds wait) {
  const auto sooner = [](const UnderWay& a, const UnderWay& b) { return a.done_at < b.done_at; };
  const auto next = std::min_element(under_way_.begin(), under_way_.end(), sooner);
  const nanoseconds due = next == under_way_.end() ? nanoseconds::max() : next->done_at;
  if (due > clock_.now() && wait > nanoseconds(0)) {
    clock_.Advance(std::min(wait, due - clock_.now()));
  }
  size_t n = 0;
  while (n < results.size()) {
    const auto first = std::min_element(under_way_.begin(), under_way_.end(), sooner);
    if (first == under_way_.end() || first->done_at > clock_.now()) {
      break;
    }
    results[n++] = Carry(first->read);
    under_way_.erase(first);
  }
  return n;
}

void FakeDisk::SetSpeed(nanoseconds latency, double bytes_per_second) {
  options_.latency = latency;
  options_.bytes_per_second = bytes_per_second;
}

void FakeDisk::Truncate(uint32_t file, uint64_t bytes) {
  files_[file].bytes = bytes;
  files_[file].change = FileChange::kTruncated;
}

}  // namespace plimsoll::io
