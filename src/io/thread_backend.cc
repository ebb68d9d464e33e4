#include "io/thread_backend.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include <unistd.h>

#include "base/invariant.h"
#include "io/backend_files.h"

namespace plimsoll::io {
namespace {

using std::chrono::nanoseconds;

// A queue of fixed size; the caller knows that it cannot overflow.
template <class T>
class Ring {
 public:
  explicit Ring(size_t capacity) : items_(capacity) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void Push(const T& item) {
    Invariant(size_ < items_.size(), "no more reads are queued than the depth allows");
    items_[(begin_ + size_++) % items_.size()] = item;
  }
  T Pop() {
    const T item = items_[begin_];
    begin_ = (begin_ + 1) % items_.size();
    --size_;
    return item;
  }

 private:
  std::vector<T> items_;
  size_t begin_ = 0;
  size_t size_ = 0;
};

class ThreadBackend final : public ReadBackend {
 public:
  ThreadBackend(uint32_t depth, uint32_t n_threads, bool direct)
      : depth_(depth), files_(direct), pending_(depth), results_(depth) {
    queued_.reserve(depth);
    try {
      for (uint32_t i = 0; i < std::max(1U, n_threads); ++i) {
        threads_.emplace_back([this] { Work(); });
      }
    } catch (...) {  // no memory for another, or no thread
      Stop();
      throw;
    }
  }

  ~ThreadBackend() override { Stop(); }

  std::string_view name() const override { return "threads"; }
  uint32_t depth() const override { return depth_; }
  nanoseconds Now() const override { return std::chrono::steady_clock::now().time_since_epoch(); }

  Result<bool> AddFile(const File& file) override {
    const std::lock_guard lock(mutex_);  // the threads look files up
    return files_.Add(file);
  }
  FileChange Changed(uint32_t file) const override { return files_.Changed(file); }
  std::optional<uint32_t> RegisterBuffer(std::span<std::byte> /*memory*/) override { return {}; }
  void UnregisterBuffer(uint32_t /*buffer*/) override {}

  void Queue(const BackendRead& read) override { queued_.push_back(read); }

  void Begin() override {
    if (queued_.empty()) {
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      for (const BackendRead& read : queued_) {
        pending_.Push({read, files_.descriptor(read.file, read.buffered)});
      }
    }
    if (queued_.size() == 1) {
      work_.notify_one();
    } else {
      work_.notify_all();
    }
    queued_.clear();
  }

  size_t Reap(std::span<BackendResult> results, nanoseconds wait) override {
    std::unique_lock lock(mutex_);
    if (wait > nanoseconds(0)) {
      // A system clock's wait could last for ever when someone sets the clock.
      done_.wait_until(lock, std::chrono::steady_clock::now() + std::min(wait, kWaitMax),
                       [this] { return !results_.empty(); });
    }
    size_t n = 0;
    while (n < results.size() && !results_.empty()) {
      results[n++] = results_.Pop();
    }
    return n;
  }

 private:
  static constexpr nanoseconds kWaitMax = std::chrono::hours(1);

  struct Job {
    BackendRead read;
    int descriptor = -1;
  };

  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) {
        return;
      }
      const Job job = pending_.Pop();
      lock.unlock();
      const ssize_t n =
          ::pread(job.descriptor, job.read.to, job.read.bytes, static_cast<off_t>(job.read.offset));
      const auto result = static_cast<int32_t>(n >= 0 ? n : -errno);
      lock.lock();
      results_.Push({job.read.id, result});
      done_.notify_one();
    }
  }

  const uint32_t depth_;
  BackendFiles files_;
  std::vector<BackendRead> queued_;  // the owner's, until Begin
  std::mutex mutex_;                 // all that follows
  std::condition_variable work_;
  std::condition_variable done_;
  Ring<Job> pending_;
  Ring<BackendResult> results_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ReadBackend> MakeThreadBackend(uint32_t depth, uint32_t n_threads, bool direct) {
  return std::make_unique<ThreadBackend>(depth, n_threads, direct);
}

}  // namespace plimsoll::io
