// How far loading, or other work on a model's bytes, has come.
#pragma once

#include <cstdint>
#include <string>

namespace plimsoll::cli {

// Of a clock that only goes forward.
[[nodiscard]] double SecondsNow();

// Makes what is to be written to standard error. On a terminal a bar that redraws itself at most
// ten times a second; elsewhere one line every ten seconds, so that short loads leave no trace.
class Progress {
 public:
  // "loading model.gguf"
  Progress(std::string name, bool is_terminal, std::string verb = "loading")
      : name_(std::move(name)), verb_(std::move(verb)), is_terminal_(is_terminal) {}

  // `seconds` is of SecondsNow, or any clock like it.
  [[nodiscard]] std::string Update(uint64_t bytes_done, uint64_t bytes_total, double seconds);
  // Takes the bar away.
  [[nodiscard]] std::string Clear() const;

 private:
  std::string name_;
  std::string verb_;
  bool is_terminal_;
  bool shown_ = false;
  double started_ = -1;
  double written_ = 0;
};

}  // namespace plimsoll::cli
