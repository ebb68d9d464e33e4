// Reading or writing a whole model: minutes, with a bar on standard error, that Ctrl-C ends
// cleanly.
#pragma once

#include <functional>
#include <ostream>
#include <string>

#include "cli/command.h"
#include "cli/progress.h"

namespace plimsoll::cli {

class LongWork {
 public:
  // "packing", "model.gguf"
  LongWork(std::string verb, std::string name, bool is_quiet, const CommandContext& context);
  // Takes the bar away.
  ~LongWork();
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

  // For the work to call; valid while this object is.
  [[nodiscard]] std::function<void(uint64_t, uint64_t)> on_progress();
  [[nodiscard]] std::function<bool()> is_stopped();
  [[nodiscard]] double seconds() const;  // since it began

 private:
  const CommandContext& context_;
  Progress progress_;
  bool is_quiet_;
  double started_;
};

}  // namespace plimsoll::cli
