// What a token waits for on a disk, known to others who use the same disk, so that they can keep
// out of its way.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace plimsoll::io {

// Thread-safe.
class Traffic {
 public:
  // An urgent read was begun; it is over.
  void Begin() { n_urgent_.fetch_add(1, std::memory_order_relaxed); }
  void End() { n_urgent_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] uint32_t n_urgent() const { return n_urgent_.load(std::memory_order_relaxed); }

  // Returns when none is under way, or when `bound` is over: nobody waits for ever.
  void WaitForLull(std::chrono::nanoseconds bound) const {
    constexpr auto kLook = std::chrono::microseconds(100);
    const auto deadline = std::chrono::steady_clock::now() + bound;
    while (n_urgent() > 0 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kLook);
    }
  }

 private:
  std::atomic<uint32_t> n_urgent_ = 0;
};

}  // namespace plimsoll::io
