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

// Spins first, then sleeps in the kernel.
void WaitWhileZero(const std::atomic<uint32_t>& value) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != 0) {
      return;
    }
    Pause();
  }
  value.wait(0, std::memory_order_acquire);
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

// What threads agree on between stages, in one word: which stage it is, whether it is open, and how
// many workers are inside it.
class Gate {
 public:
  using Word = uint32_t;

  [[nodiscard]] Word Now() const { return word_.load(std::memory_order_acquire); }
  static bool IsOpen(Word word) { return (word & kOpen) != 0; }
  static uint32_t StageOf(Word word) { return word / kOneStage; }

  // The owner's: what it has written before is seen by all who enter.
  void OpenNextStage() {
    drained_.store(0, std::memory_order_relaxed);
    const uint32_t stage = StageOf(word_.load(std::memory_order_relaxed)) + 1;
    word_.store(stage * kOneStage | kOpen, std::memory_order_release);
    word_.notify_all();
  }
  // Nobody enters any more. Returns when all who had have left.
  void Close() {
    const Word before = word_.fetch_and(~kOpen, std::memory_order_acq_rel);
    if ((before & kInside) != 0) {
      WaitWhileZero(drained_);
    }
  }

  // A worker's: false when the gate is no longer as it was in `seen`.
  [[nodiscard]] bool Enter(Word seen) {
    return word_.compare_exchange_strong(seen, seen + kOneInside, std::memory_order_acq_rel);
  }
  void Leave() {
    const Word before = word_.fetch_sub(kOneInside, std::memory_order_acq_rel);
    if (!IsOpen(before) && (before & kInside) == kOneInside) {
      drained_.store(1, std::memory_order_release);
      drained_.notify_one();
    }
  }
  // Returns at the latest when another stage is opened.
  void Sleep(Word seen) const { word_.wait(seen, std::memory_order_acquire); }

 private:
  static constexpr Word kOpen = 1;
  static constexpr Word kOneInside = 2;
  static constexpr Word kOneStage = 1U << 12;  // stages are counted in 20 bits, and begin anew
  static constexpr Word kInside = kOneStage - kOneInside;

  std::atomic<Word> word_ = 0;
  std::atomic<uint32_t> drained_ = 0;  // 1: the last worker has left, after the gate was closed
};

// Threads take the tasks of a stage that is open. It ends when all tasks are done: a worker that
// the system has not let run in the meantime is not waited for, and misses the stage. On a busy
// machine, where its turn may come milliseconds later, the stage would otherwise take that long.
struct Team::State {
  // Also where a team could not be made, for want of a thread: those there are wait for a stage.
  ~State() {
    stopping = true;
    gate.OpenNextStage();
  }

  Gate gate;
  std::vector<Part> parts;  // of each thread
  std::optional<TaskRef> task;
  std::atomic<bool> stopping = false;
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
    uint32_t done = 0;
    while (const auto seen = WaitForStageAfter(done)) {
      if (gate.Enter(*seen)) {
        Work(thread);
        done = Gate::StageOf(*seen);
        gate.Leave();
      }
    }
  }

  // Spins first, then sleeps in the kernel. Empty when the team ends.
  std::optional<Gate::Word> WaitForStageAfter(uint32_t done) const {
    for (int i = 0;; ++i) {
      const Gate::Word seen = gate.Now();
      if (stopping) {
        return std::nullopt;
      }
      if (Gate::IsOpen(seen) && Gate::StageOf(seen) != done) {
        return seen;
      }
      if (i < kSpins) {
        Pause();
      } else {
        gate.Sleep(seen);
      }
    }
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
  s.gate.OpenNextStage();
  s.Work(0);
  s.gate.Close();
}

}  // namespace plimsoll::kernels
