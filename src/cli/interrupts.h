// Ctrl-C: stops the answer and not the program, unless there is no answer to stop.
#pragma once

#include <atomic>
#include <thread>

namespace plimsoll::cli {

// Takes SIGINT over for the whole process while it lives. Construct it before other threads start:
// they inherit the blocked signal. A thread of its own waits for the signal, so no code ever runs
// inside a signal handler.
class Interrupts {
 public:
  enum class Mode {
    kExit,    // nothing to keep (loading): the process ends with code 130
    kAnswer,  // raised() becomes true; a second one within two seconds ends the process
    kPrompt,  // raised() becomes true and wake_fd() readable: the prompt decides
  };

  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // Also forgets an interrupt that is raised.
  void SetMode(Mode mode);
  [[nodiscard]] bool raised() const { return raised_.load(); }
  // For poll(2): readable from an interrupt at the prompt until SetMode.
  [[nodiscard]] int wake_fd() const { return wake_fd_; }

 private:
  void Watch();
  void OnInterrupt();

  std::atomic<Mode> mode_ = Mode::kExit;
  std::atomic<bool> raised_ = false;
  double last_seconds_ = -1e9;  // of the watching thread
  int signal_fd_ = -1;
  int wake_fd_ = -1;
  int quit_fd_ = -1;
  std::thread watcher_;
};

// Ends the process at once with code 130, the cursor on a line of its own.
[[noreturn]] void ExitInterrupted();

}  // namespace plimsoll::cli
