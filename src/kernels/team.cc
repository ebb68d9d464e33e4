#include "kernels/team.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>

#include "base/invariant.h"

namespace plimsoll::kernels {
namespace {

// Some 20 microseconds: longer than the pause between two stages of a step, shorter than anything a
// person or a power meter notices.
constexpr int kSpins = 2000;

void Pause() { __builtin_ia32_pause(); }

// Returns when `value` is no longer `old`: spins first, then sleeps in the kernel.
void WaitWhile(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) {
      return;
    }
    Pause();
  }
  while (value.load(std::memory_order_acquire) == old) {
    value.wait(old, std::memory_order_acquire);
  }
}

// Without the right to, the thread goes where the kernel puts it: slower at worst.
void StayOn(uint32_t processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof(only), &only));
}

// Moves the calling thread off a worker's processor to `own`, without tying it there: threads that
// it starts later must not inherit an affinity.
void StepAside(uint32_t own) {
  cpu_set_t before;
  if (::pthread_getaffinity_np(::pthread_self(), sizeof(before), &before) == 0) {
    StayOn(own);
    static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof(before), &before));
  }
}

}  // namespace

// The tasks of a stage that a thread has still to do: its own from the front, others' from the
// back. Both ends are one word, so a task is taken by one exchange.
class alignas(64) Part {
 public:
  void Set(uint32_t begin, uint32_t end) {
    ends_.store(Pack(begin, end), std::memory_order_relaxed);
  }
  [[nodiscard]] uint32_t left() const {
    const uint64_t ends = ends_.load(std::memory_order_relaxed);
    return End(ends) - Begin(ends);
  }
  std::optional<uint32_t> TakeFirst() {
    uint64_t ends = ends_.load(std::memory_order_relaxed);
    while (Begin(ends) < End(ends)) {
      if (Exchange(ends, Pack(Begin(ends) + 1, End(ends)))) {
        return Begin(ends);
      }
    }
    return std::nullopt;
  }
  std::optional<uint32_t> TakeLast() {
    uint64_t ends = ends_.load(std::memory_order_relaxed);
    while (Begin(ends) < End(ends)) {
      if (Exchange(ends, Pack(Begin(ends), End(ends) - 1))) {
        return End(ends) - 1;
      }
    }
    return std::nullopt;
  }

 private:
  static uint64_t Pack(uint32_t begin, uint32_t end) { return uint64_t{end} << 32 | begin; }
  static uint32_t Begin(uint64_t ends) { return static_cast<uint32_t>(ends); }
  static uint32_t End(uint64_t ends) { return static_cast<uint32_t>(ends >> 32); }
  bool Exchange(uint64_t& ends, uint64_t wanted) {
    return ends_.compare_exchange_weak(ends, wanted, std::memory_order_relaxed);
  }

  std::atomic<uint64_t> ends_ = 0;
};

// A stage begins when the owner raises `stage` and ends when every worker has taken itself off
// `n_working`; a worker sees each stage exactly once, so fields written before a stage are stable
// in it.
struct Team::State {
  // Also where a team could not be made, for want of a thread: those there are wait for a stage.
  ~State() {
    stopping = true;
    Begin(0);
  }

  std::atomic<uint32_t> stage = 0;
  std::atomic<uint32_t> n_working = 0;
  std::vector<Part> parts;  // of each thread
  std::optional<TaskRef> task;
  bool stopping = false;
  std::vector<uint32_t> processors;  // of each thread; empty: not pinned
  std::vector<std::jthread> workers;

  // Every thread has about as many tasks, one behind another.
  void Divide(uint32_t n_tasks) {
    const auto n = static_cast<uint32_t>(parts.size());
    const uint32_t each = n_tasks / n;
    const uint32_t more = n_tasks % n;  // the first ones have one more
    for (uint32_t t = 0, begin = 0; t < n; ++t) {
      const uint32_t end = begin + each + (t < more ? 1 : 0);
      parts[t].Set(begin, end);
      begin = end;
    }
  }

  void Work(size_t thread) {
    while (const auto i = parts[thread].TakeFirst()) {
      (*task)(*i, thread);
    }
    while (Part* slowest = MostLeft()) {
      if (const auto i = slowest->TakeLast()) {
        (*task)(*i, thread);
      }
    }
  }

  // Null when nothing is left.
  Part* MostLeft() {
    Part* most = nullptr;
    uint32_t left = 0;
    for (Part& part : parts) {
      if (const uint32_t n = part.left(); n > left) {
        most = &part;
        left = n;
      }
    }
    return most;
  }

  void WorkerLoop(size_t thread) {
    for (uint32_t seen = 0;; ++seen) {
      WaitWhile(stage, seen);
      if (stopping) {
        return;
      }
      Work(thread);
      if (n_working.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        n_working.notify_one();
      }
    }
  }

  void Begin(uint32_t n_workers) {
    n_working.store(n_workers, std::memory_order_relaxed);
    stage.fetch_add(1, std::memory_order_release);
    stage.notify_all();
  }
};

Team::Team(size_t n_threads, std::span<const uint32_t> processors)
    : n_threads_(n_threads == 0 ? 1 : n_threads), state_(std::make_unique<State>()) {
  state_->parts = std::vector<Part>(n_threads_);
  const bool valid = std::ranges::all_of(processors, [](uint32_t p) { return p < CPU_SETSIZE; });
  if (processors.size() == n_threads_ && valid) {
    state_->processors.assign(processors.begin(), processors.end());
  }
  state_->workers.reserve(n_threads_ - 1);
  for (size_t thread = 1; thread < n_threads_; ++thread) {
    state_->workers.emplace_back([state = state_.get(), thread] {
      if (!state->processors.empty()) {
        StayOn(state->processors[thread]);
      }
      state->WorkerLoop(thread);
    });
  }
}

Team::~Team() = default;

void Team::Run(size_t n_tasks, TaskRef task) {
  if (n_threads_ == 1 || n_tasks <= 1) {
    for (size_t i = 0; i < n_tasks; ++i) {
      task(i, 0);
    }
    return;
  }
  State& s = *state_;
  // The kernel may have put the caller beside a worker; the two would take turns.
  if (!s.processors.empty()) {
    const auto at = static_cast<uint32_t>(::sched_getcpu());
    if (std::ranges::count(s.processors.begin() + 1, s.processors.end(), at) > 0) {
      StepAside(s.processors[0]);
    }
  }
  Invariant(n_tasks <= UINT32_MAX, "a stage's tasks are counted in 32 bits");
  s.Divide(static_cast<uint32_t>(n_tasks));
  s.task = task;
  s.Begin(static_cast<uint32_t>(n_threads_ - 1));
  s.Work(0);
  for (uint32_t left = s.n_working.load(std::memory_order_acquire); left != 0;
       left = s.n_working.load(std::memory_order_acquire)) {
    WaitWhile(s.n_working, left);
  }
}

}  // namespace plimsoll::kernels
