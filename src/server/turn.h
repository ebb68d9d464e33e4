// A mutex that is waited for no longer than one wants to.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace plimsoll::server {

// As std::timed_mutex, which thread sanitizers do not see (pthread_mutex_clocklock).
class Turn {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [this] { return !taken_; });
    taken_ = true;
  }
  template <class Rep, class Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& time) {
    std::unique_lock lock(mutex_);
    if (!free_.wait_for(lock, time, [this] { return !taken_; })) {
      return false;
    }
    taken_ = true;
    return true;
  }
  void unlock() {
    {
      const std::lock_guard lock(mutex_);
      taken_ = false;
    }
    free_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;
};

}  // namespace plimsoll::server
