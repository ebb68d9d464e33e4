// Lines from a person, edited in the terminal, with a history.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/interrupts.h"

namespace plimsoll::cli {

struct Line {
  enum class Kind { kText, kInterrupted, kEnd };
  Kind kind = Kind::kText;
  std::string text;  // without the newline; what was typed before an interrupt
};

class LineSource {
 public:
  virtual ~LineSource() = default;
  [[nodiscard]] virtual Line Read(const std::string& prompt) = 0;
  // Keeps a line for the arrow keys, this time and the next.
  virtual void Remember(const std::string& text) = 0;
  // From here on Read calls `work` about once a second while nothing is typed, and shows what it
  // returns, lines or nothing, above what is typed.
  virtual void WhileIdle(const std::function<std::string()>& /*work*/) {}
};

// Joins lines that end in a backslash with those that follow, with a newline between.
[[nodiscard]] Line ReadMessage(LineSource& source, const std::string& prompt,
                               const std::string& continuation_prompt);

// $XDG_STATE_HOME/plimsoll/history, else ~/.local/state/plimsoll/history; none when neither is set.
[[nodiscard]] std::optional<std::filesystem::path> HistoryPath();

// Edits with libedit on the terminal behind standard input; the prompt goes to standard error. The
// history file is readable by its owner alone; where it cannot be written, the history is
// short-lived.
[[nodiscard]] std::unique_ptr<LineSource> OpenTerminal(
    Interrupts& interrupts, const std::optional<std::filesystem::path>& history);

}  // namespace plimsoll::cli
