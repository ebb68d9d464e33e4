#include "cli/console.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ostream>

#include "base/utf8.h"

namespace plimsoll::cli {
namespace {

std::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool IsControl(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  const bool c0 = first < 0x20 && first != '\n' && first != '\t';
  const bool c1 =
      character.size() == 2 && first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
  return c0 || c1 || first == 0x7F;
}

}  // namespace

bool UseColor(ColorMode mode, bool is_terminal) {
  if (mode != ColorMode::kAuto) {
    return mode == ColorMode::kAlways;
  }
  if (!Environment("NO_COLOR").empty()) {
    return false;
  }
  const auto force = Environment("CLICOLOR_FORCE");
  if (!force.empty() && force != "0") {
    return true;
  }
  return is_terminal && Environment("TERM") != "dumb";
}

Result<> Console::Write(std::string_view text) const {
  errno = 0;
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.flush();
  if (!out) {
    const int code = errno;
    return Fail(ErrorKind::kIo, "standard output: {}",
                code != 0 ? std::strerror(code) : "cannot be written");
  }
  return {};
}

std::string TerminalSafe(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const auto character = text.substr(0, length == 0 ? 1 : length);
    safe += length == 0 || IsControl(character) ? std::string_view("\xEF\xBF\xBD") : character;
    text.remove_prefix(character.size());
  }
  return safe;
}

std::string Styled(std::string_view text, std::string_view style, bool use_color) {
  return use_color ? fmt::format("\x1b[{}m{}\x1b[0m", style, text) : std::string(text);
}

}  // namespace plimsoll::cli
