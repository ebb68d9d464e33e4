// Ctrl-C stops the answer and not the program, unless there is no answer to stop; SIGHUP asks a
// command that can to read its settings again; SIGTERM asks a server to come to an end.
#pragma once

#include <atomic>
#include <thread>

namespace plimsoll::cli {

// Takes SIGINT, SIGTERM and SIGHUP over for the whole process while it lives. Construct it before
// other threads start: they inherit the blocked signals. A thread of its own waits for the signals,
// so no code ever runs inside a signal handler.
class Interrupts {
 public:
  enum class Mode {
    kExit,    // nothing to keep (loading): the process ends with code 130
    kStart,   // a server that is not ready: the same, and with code 0 by SIGTERM
    kAnswer,  // raised() becomes true; a second one within two seconds ends the process
    kPrompt,  // raised() becomes true and wake_fd() readable: the prompt decides
    kServe,   // as kPrompt, by SIGTERM too; both are counted in n_raised()
  };

  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // Also forgets an interrupt that is raised.
  void SetMode(Mode mode);
  [[nodiscard]] bool raised() const { return raised_.load(); }
  [[nodiscard]] int n_raised() const { return n_raised_.load(); }
  // From here on SIGHUP only makes TakeHangup() true. Before, and when it comes because the
  // terminal that the process was started on is gone, it does what it did without this class: it
  // ends the process, or nothing under nohup.
  void CatchHangups() { catches_hangups_ = true; }
  // Other than in kStart and kServe a SIGTERM ends the process as without this class.
  // Whether there was a SIGHUP since the last call.
  [[nodiscard]] bool TakeHangup() { return hung_up_.exchange(false); }
  // For poll(2): readable from an interrupt at the prompt until SetMode.
  [[nodiscard]] int wake_fd() const { return wake_fd_; }

 private:
  void Watch();
  void OnInterrupt();
  void OnHangup();
  void OnTermination();

  std::atomic<Mode> mode_ = Mode::kExit;
  std::atomic<bool> raised_ = false;
  std::atomic<int> n_raised_ = 0;
  std::atomic<bool> catches_hangups_ = false;
  std::atomic<bool> hung_up_ = false;
  bool had_terminal_ = false;
  double last_seconds_ = -1e9;  // of the watching thread
  int signal_fd_ = -1;
  int wake_fd_ = -1;
  int quit_fd_ = -1;
  std::thread watcher_;
};

// Ends the process at once with code 130, the cursor on a line of its own.
[[noreturn]] void ExitInterrupted();

}  // namespace plimsoll::cli
