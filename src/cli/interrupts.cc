#include "cli/interrupts.h"

#include <array>
#include <cstdint>
#include <initializer_list>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/result.h"
#include "cli/progress.h"

namespace plimsoll::cli {
namespace {

constexpr double kSecondWithinSeconds = 2;

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    sigaddset(&set, signal);
  }
  return set;
}

sigset_t WatchedSet() { return SetOf({SIGINT, SIGHUP, SIGTERM}); }

// Whether the process has a terminal that can send it a Ctrl-C, and hang up.
bool HasTerminal() {
  const int terminal = ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (terminal >= 0) {
    ::close(terminal);
  }
  return terminal >= 0;
}

// Its disposition was never changed: the default ends the process, nohup's of SIGHUP does nothing.
void TakeDefault(int signal) {
  const sigset_t set = SetOf({signal});
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void Raise(int event_fd) {
  const uint64_t one = 1;
  // Cannot fail: the counter never comes near its limit.
  [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof(one));
}

void Drain(int event_fd) {
  uint64_t count = 0;
  [[maybe_unused]] const auto n_read = ::read(event_fd, &count, sizeof(count));
}

}  // namespace

Interrupts::Interrupts() {
  had_terminal_ = HasTerminal();
  const sigset_t set = WatchedSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal_fd_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  quit_fd_ = ::eventfd(0, EFD_CLOEXEC);
  Invariant(signal_fd_ >= 0 && wake_fd_ >= 0 && quit_fd_ >= 0, "signal descriptors can be made");
  watcher_ = std::thread([this] { Watch(); });
}

Interrupts::~Interrupts() {
  Raise(quit_fd_);
  watcher_.join();
  for (const int fd : {signal_fd_, wake_fd_, quit_fd_}) {
    ::close(fd);
  }
  const sigset_t set = WatchedSet();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void Interrupts::SetMode(Mode mode) {
  mode_ = mode;
  raised_ = false;
  n_raised_ = 0;
  Drain(wake_fd_);
}

void Interrupts::Watch() {
  std::array<pollfd, 2> fds = {{{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                                {.fd = quit_fd_, .events = POLLIN, .revents = 0}}};
  while (true) {
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      continue;  // another signal
    }
    if (fds[1].revents != 0) {
      return;
    }
    signalfd_siginfo info;
    if (::read(signal_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      if (info.ssi_signo == SIGHUP) {
        OnHangup();
      } else if (info.ssi_signo == SIGTERM) {
        OnTermination();
      } else {
        OnInterrupt();
      }
    }
  }
}

void Interrupts::OnInterrupt() {
  const double now = SecondsNow();
  const bool second = now - last_seconds_ < kSecondWithinSeconds;
  const Mode mode = mode_;
  if (mode == Mode::kExit || mode == Mode::kStart || (mode == Mode::kAnswer && second)) {
    ExitInterrupted();
  }
  raised_ = true;
  ++n_raised_;
  if (mode == Mode::kPrompt || mode == Mode::kServe) {
    Raise(wake_fd_);
  } else {
    last_seconds_ = now;
  }
}

void Interrupts::OnHangup() {
  if (catches_hangups_ && (!had_terminal_ || HasTerminal())) {
    hung_up_ = true;
    return;
  }
  TakeDefault(SIGHUP);
}

void Interrupts::OnTermination() {
  const Mode mode = mode_;
  if (mode == Mode::kStart) {
    ::_exit(0);  // nobody waits for an answer yet
  }
  if (mode == Mode::kServe) {
    return OnInterrupt();
  }
  TakeDefault(SIGTERM);
}

void ExitInterrupted() {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, "\n", 1);
  ::_exit(static_cast<int>(ErrorKind::kInterrupted));
}

}  // namespace plimsoll::cli
