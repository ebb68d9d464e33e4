// Where a prompt comes from: -p, -f and standard input.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "cli/command_line.h"
#include "cli/console.h"

namespace plimsoll::cli {

struct PromptFlags {
  std::optional<std::string> prompt;
  std::optional<std::string> file;
};

void AddPromptOptions(CommandLine& line, PromptFlags& flags);

inline constexpr uint64_t kTextBytesMax = 64 * kMiB;

// All of a stream, less one newline at its end. kIo when it cannot be read, kUsage when it is
// longer.
[[nodiscard]] Result<std::string> ReadText(std::istream& in, std::string_view name,
                                           uint64_t max_bytes = kTextBytesMax);
// The same of a file.
[[nodiscard]] Result<std::string> ReadTextFrom(const std::string& path,
                                               uint64_t max_bytes = kTextBytesMax);
// All of standard input. Says so on `console.err` when nothing comes for a while.
[[nodiscard]] Result<std::string> ReadStandardInput(const Console& console);
// A file, or standard input for "-".
[[nodiscard]] Result<std::string> ReadTextFile(const std::string& path, const Console& console);

// What was given, in the order -p, -f, piped standard input, with a newline between. Empty when
// nothing was: the user wants to talk. kUsage when what was given holds no text.
[[nodiscard]] Result<std::optional<std::string>> ReadPrompt(const PromptFlags& flags,
                                                            const Console& console);

}  // namespace plimsoll::cli
