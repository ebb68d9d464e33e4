// A team of threads that runs one stage of work after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace plimsoll::kernels {

// A borrowed callable; valid while the callable lives.
class TaskRef {
 public:
  template <class F>
  TaskRef(const F& f)  // NOLINT(google-explicit-constructor): stages are written as lambdas
      : object_(&f), call_([](const void* object, size_t task, size_t thread) {
          (*static_cast<const F*>(object))(task, thread);
        }) {}

  void operator()(size_t task, size_t thread) const { call_(object_, task, thread); }

 private:
  const void* object_;
  void (*call_)(const void*, size_t, size_t);
};

// Threads start with the team and spin briefly, then park, between stages. Not thread-safe: one
// owner runs stages. No stage allocates.
class Team {
 public:
  // n_threads >= 1 counts the caller, which works too. `processors` are one of each physical core:
  // when there are exactly as many threads, each worker stays on the processor of its number, and
  // the caller, which stays free, moves to the first when it finds itself beside a worker. With
  // fewer threads nothing is pinned, or two processes would crowd the same few cores.
  explicit Team(size_t n_threads, std::span<const uint32_t> processors = {});
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  [[nodiscard]] size_t n_threads() const { return n_threads_; }

  // Calls task(i, thread) once for every i in [0, n_tasks), thread in [0, n_threads), and returns
  // when all are done. Tasks that follow one another should read memory that does: each thread
  // begins with an equal run of them, in ascending order, and one that is done helps the slowest
  // from the end of its run. Which thread runs which must not matter to the result.
  void Run(size_t n_tasks, TaskRef task);

 private:
  struct State;

  size_t n_threads_;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll::kernels
