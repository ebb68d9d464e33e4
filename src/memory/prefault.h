// Memory that is ready before its first use.
//
// The kernel hands out memory when it is first touched, and zeroes it then: a quarter of a second a
// GiB at best, and several times that in a virtual machine whose host has to find it first. Beside
// a disk that gives 3 GB a second this decides when the first token comes, unless it happens on a
// thread of its own while the disk is read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

namespace plimsoll::memory {

class Prefault {
 public:
  // Of memory that was allocated and granted, in the order of its first use, some `ahead_bytes`
  // ahead of it. The memory outlives this. Where the system cannot do it (before Linux 5.14, or
  // without a thread to spare), nothing happens.
  Prefault(std::vector<std::span<std::byte>> ranges, uint64_t ahead_bytes);
  Prefault(const Prefault&) = delete;
  Prefault& operator=(const Prefault&) = delete;
  // Ends the thread, at once but for some milliseconds.
  ~Prefault();

  // So much of it is in use: the thread goes on. Any number of times.
  void Use(uint64_t bytes);
  // Of the ranges together; for tests.
  [[nodiscard]] uint64_t ready_bytes() const { return ready_.load(); }

 private:
  void Run();

  std::vector<std::span<std::byte>> ranges_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> wanted_;  // of the ranges together; kStop: no more
  std::atomic<uint64_t> ready_ = 0;
  uint64_t ahead_bytes_;
  std::thread thread_;
};

}  // namespace plimsoll::memory
