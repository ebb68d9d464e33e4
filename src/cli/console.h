// The three streams a command talks on, and what they are.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll::cli {

enum class ColorMode { kAuto, kAlways, kNever };

// Whether to colour what goes to a stream: --color wins, then NO_COLOR (set and not empty), then
// CLICOLOR_FORCE (set and not 0), then whether it is a terminal that is not dumb.
[[nodiscard]] bool UseColor(ColorMode mode, bool is_terminal);

// What a command was asked for goes to `out` and nothing else does; all the rest goes to `err`.
// Plain streams, so that tests can read them.
struct Console {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  int in_fd = -1;  // of `in`, to wait on; -1 in tests
  bool in_is_terminal = false;
  // Standard input is a file or a pipe: a device (/dev/null) or a socket is not read unasked.
  bool in_is_piped = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;

  // Writes all of it at once. kIo when the reader is gone or the disk is full.
  [[nodiscard]] Result<> Write(std::string_view text) const;
};

// `text` without what would steer a terminal: control characters other than newline and tab become
// U+FFFD.
[[nodiscard]] std::string TerminalSafe(std::string_view text);

// Text in a colour when there is one: style is the parameter of an SGR sequence, as "1;32".
[[nodiscard]] std::string Styled(std::string_view text, std::string_view style, bool use_color);

}  // namespace plimsoll::cli
