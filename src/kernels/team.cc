#include "kernels/team.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>

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

// A stage begins when the owner raises `stage` and ends when every worker has taken itself off
// `n_working`; a worker sees each stage exactly once, so fields written before a stage are stable
// in it.
struct Team::State {
  std::atomic<uint32_t> stage = 0;
  std::atomic<uint32_t> n_working = 0;
  std::atomic<size_t> next_task = 0;
  size_t n_tasks = 0;
  std::optional<TaskRef> task;
  bool stopping = false;
  std::vector<uint32_t> processors;  // of each thread; empty: not pinned
  std::vector<std::jthread> workers;

  void Work(size_t thread) {
    for (size_t i = next_task.fetch_add(1, std::memory_order_relaxed); i < n_tasks;
         i = next_task.fetch_add(1, std::memory_order_relaxed)) {
      (*task)(i, thread);
    }
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

Team::~Team() {
  state_->stopping = true;
  state_->Begin(0);
}

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
  s.n_tasks = n_tasks;
  s.task = task;
  s.next_task.store(0, std::memory_order_relaxed);
  s.Begin(static_cast<uint32_t>(n_threads_ - 1));
  s.Work(0);
  for (uint32_t left = s.n_working.load(std::memory_order_acquire); left != 0;
       left = s.n_working.load(std::memory_order_acquire)) {
    WaitWhile(s.n_working, left);
  }
}

}  // namespace plimsoll::kernels
