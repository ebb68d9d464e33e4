#include "cli/line_reader.h"

#include <cstdlib>

namespace plimsoll::cli {

Line ReadMessage(LineSource& source, const std::string& prompt,
                 const std::string& continuation_prompt) {
  Line message = source.Read(prompt);
  while (message.kind == Line::Kind::kText && message.text.ends_with('\\')) {
    message.text.back() = '\n';
    Line next = source.Read(continuation_prompt);
    message.kind = next.kind == Line::Kind::kEnd ? Line::Kind::kText : next.kind;
    message.text += next.text;
    if (next.kind == Line::Kind::kEnd) {
      break;
    }
  }
  return message;
}

std::optional<std::filesystem::path> HistoryPath() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') {  // the standard asks to ignore relative paths
    return std::filesystem::path(state) / "plimsoll" / "history";
  }
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') {
    return std::filesystem::path(home) / ".local/state/plimsoll/history";
  }
  return std::nullopt;
}

}  // namespace plimsoll::cli
