#include "cli/prompt_source.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <istream>
#include <ostream>
#include <vector>

#include <poll.h>

#include "base/bytes.h"

namespace plimsoll::cli {
namespace {

constexpr int kIdleNoticeMs = 2000;

}  // namespace

void AddPromptOptions(CommandLine& line, PromptFlags& flags) {
  line.Topic("Prompt");
  line.Text("-p,--prompt", "TEXT", "answer this and end", flags.prompt);
  line.Text("-f,--file", "FILE", "answer the text of a file (-: standard input)", flags.file);
}

Result<std::string> ReadText(std::istream& in, std::string_view name, uint64_t max_bytes) {
  std::string text;
  std::vector<char> buffer(64 * kKiB);
  errno = 0;
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > max_bytes) {
      return Fail(ErrorKind::kUsage, "{}: more than {} of text", name, FormatBytes(max_bytes));
    }
  }
  // Buffered standard input reports a failed read as its end; ENOTTY is the buffer asking whom it
  // serves.
  if (in.bad() || (errno != 0 && errno != ENOTTY)) {
    return Fail(ErrorKind::kIo, "{}: {}", name, std::strerror(errno == 0 ? EIO : errno));
  }
  if (text.ends_with('\n')) {
    text.pop_back();
  }
  return text;
}

Result<std::string> ReadTextFrom(const std::string& path, uint64_t max_bytes) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Fail(ErrorKind::kIo, "{}: {}", path, std::strerror(errno == 0 ? EIO : errno));
  }
  return ReadText(file, path, max_bytes);
}

Result<std::string> ReadStandardInput(const Console& console) {
  if (console.in_fd >= 0) {
    pollfd input = {.fd = console.in_fd, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, kIdleNoticeMs) == 0) {
      console.err << "reading standard input to its end (Ctrl-D; none wanted: </dev/null)"
                  << std::endl;
    }
  }
  return ReadText(console.in, "standard input");
}

Result<std::string> ReadTextFile(const std::string& path, const Console& console) {
  if (path == "-") {
    return ReadStandardInput(console);
  }
  return ReadTextFrom(path);
}

Result<std::optional<std::string>> ReadPrompt(const PromptFlags& flags, const Console& console) {
  std::vector<std::string> parts;
  if (flags.prompt) {
    parts.push_back(*flags.prompt);
  }
  if (flags.file) {
    auto text = ReadTextFile(*flags.file, console);
    if (!text) {
      return Forward(text);
    }
    parts.push_back(std::move(*text));
  }
  const bool from_stdin = console.in_is_piped && flags.file != "-";
  if (from_stdin) {
    auto text = ReadStandardInput(console);
    if (!text) {
      return Forward(text);
    }
    parts.push_back(std::move(*text));
  }
  if (parts.empty()) {
    return std::nullopt;
  }
  std::string prompt;
  for (const std::string& part : parts) {
    prompt += (prompt.empty() || part.empty() ? "" : "\n") + part;
  }
  if (prompt.empty()) {
    return Fail(ErrorKind::kUsage, "the prompt is empty{}",
                from_stdin ? ": standard input had no text" : "");
  }
  return prompt;
}

}  // namespace plimsoll::cli
